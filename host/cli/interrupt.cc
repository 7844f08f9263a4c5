#include "cli/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>

#include "cli/exit_code.h"

namespace imctl::host::cli {
namespace {

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

InterruptWatch::InterruptWatch() {
  sigset_t set = ending_signals();
  (void)::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  stop_ = ::eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { watch(); });
}

InterruptWatch::~InterruptWatch() {
  (void)::eventfd_write(stop_, 1);
  thread_.join();
  ::close(signals_);
  ::close(stop_);
  sigset_t set = ending_signals();
  (void)::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void InterruptWatch::set_call(Transport* transport) {
  std::lock_guard<std::mutex> lock(mutex_);
  transport_ = transport;
}

bool InterruptWatch::interrupted() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return interrupted_;
}

void InterruptWatch::watch() {
  while (true) {
    std::array<pollfd, 2> fds = {{{signals_, POLLIN, 0}, {stop_, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[1].revents != 0) return;
    signalfd_siginfo info{};
    if (::read(signals_, &info, sizeof(info)) != sizeof(info)) continue;
    std::lock_guard<std::mutex> lock(mutex_);
    // Nothing of this program's own needs an orderly end then.
    if (transport_ == nullptr || interrupted_) ::_exit(kInterrupted);
    interrupted_ = true;
    transport_->cancel();
  }
}

}  // namespace imctl::host::cli
