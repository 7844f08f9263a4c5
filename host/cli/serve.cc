// `imctl serve`: the host until it is told to end.
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <string>

#include "cli/host_options.h"
#include "cli/host_verbs.h"
#include "cli/text.h"
#include "core/host.h"
#include "grpc/front_end.h"

namespace imctl::host::cli {
namespace {

constexpr rlim_t kOpenFiles = 1 << 18;

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

Status serve(LocalCall& call) {
  if (!call.arguments.empty()) {
    call.usage = true;
    return {IMCTL_INVALID_ARGUMENT, "what is '" + clean_line(call.arguments.front()) +
                                        "' for? Settings are given as --set section.key=value"};
  }
  // Each connection is an open file.
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, kOpenFiles);
    (void)::setrlimit(RLIMIT_NOFILE, &files);
  }
  // Before any thread is made, so all of them leave the signals to this one.
  sigset_t handled = handled_signals();
  (void)::pthread_sigmask(SIG_BLOCK, &handled, nullptr);
  (void)::signal(SIGPIPE, SIG_IGN);

  Result<std::unique_ptr<Host>> opened = Host::open(host_options(call.flags));
  if (!opened.ok()) return opened.status();
  Host& host = **opened;
  Result<std::unique_ptr<FrontEnd>> front = FrontEnd::start(host);
  if (!front.ok()) return front.status();
  if (host.config().auth_none) {
    host.log().warn("auth = none: everybody who can connect is an administrator");
  }
  host.log().info("serving on " + join((*front)->addresses(), ", "));

  for (int signal = 0; signal != SIGINT && signal != SIGTERM;) {
    if (::sigwait(&handled, &signal) != 0 || signal != SIGHUP) continue;
    host.settings_admin().reload_at_signal();
  }
  host.log().info("stopping");
  // The second time, the signal ends the program; nobody reads the settings any more.
  (void)::signal(SIGHUP, SIG_IGN);
  (void)::pthread_sigmask(SIG_UNBLOCK, &handled, nullptr);
  auto until =
      std::chrono::system_clock::now() +
      std::chrono::duration_cast<std::chrono::system_clock::duration>(host.live().stop_timeout);
  (*front)->close(until);
  Status status = host.stop();
  (*front)->finish();
  return status;
}

}  // namespace imctl::host::cli
