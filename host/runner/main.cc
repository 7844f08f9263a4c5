// imctl-runner: runs one module in a process of its own. Started by the host only, with a socket to
// it; see host/link.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "link/hello.h"
#include "link/wire.h"
#include "runner/confine.h"
#include "runner/crash.h"
#include "runner/runner.h"

namespace {

using namespace imctl::host;  // NOLINT: the program is nothing else

[[noreturn]] void give_up(const std::string& why) {
  (void)fprintf(stderr, "imctl-runner: %s\n", why.c_str());
  _exit(EXIT_FAILURE);
}

bool receive(char* to, size_t size) {
  return recv(kLinkDescriptor, to, size, MSG_WAITALL) == static_cast<ssize_t>(size);
}

// Before the link's thread starts, which is to be confined too.
Hello receive_hello() {
  std::array<char, kFrameHeaderSize> raw;
  FrameHeader header;
  if (!receive(raw.data(), raw.size()) || !decode_header(raw.data(), &header) ||
      header.type != FrameType::kHello || header.has_tail) {
    give_up("it is started by imctl, for a module that runs in a process of its own");
  }
  std::string head(header.head_size, '\0');
  Hello hello;
  if (!receive(head.data(), head.size())) give_up("the host is gone");
  if (!decode(head, &hello)) {
    give_up("it is of build " + std::string(link_build()) + ", the host of " + hello.build +
            ": install imctl completely");
  }
  return hello;
}

}  // namespace

int main() {
  // Whoever stops the host with a signal to all of its processes leaves it to the host to end this
  // one.
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(number, SIG_IGN);
  report_crashes();
  Hello hello = receive_hello();
  // The socket's end tells of the host's; this also if nobody comes to read it.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != hello.host) give_up("the host is gone");
  imctl::Status status = confine(hello.process);
  if (!status.ok()) give_up(status.message());
  Runner(std::move(hello)).run(kLinkDescriptor);
}
