#include "cli/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "cli/exit_code.h"
#include "cli/terminal.h"

namespace imctl::host::cli {
namespace {

constexpr std::chrono::hours kLongestWait(365 * 24);  // any longer is as good as for ever

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

void InterruptWatch::hold() {
  std::lock_guard<std::mutex> lock(mutex_);
  held_ = true;
}

bool InterruptWatch::wait_for(std::chrono::nanoseconds time) {
  std::unique_lock<std::mutex> lock(mutex_);
  // wait_until of the system's clock: the sanitizers know no other of g++ 12.
  auto until = std::chrono::system_clock::now() +
               std::chrono::duration_cast<std::chrono::system_clock::duration>(
                   std::min<std::chrono::nanoseconds>(time, kLongestWait));
  return !changed_.wait_until(lock, until, [this] { return interrupted_; });
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
    if ((transport_ == nullptr && !held_) || interrupted_) {
      TerminalChange::undo_all();
      ::_exit(kInterrupted);
    }
    interrupted_ = true;
    if (transport_ != nullptr) transport_->cancel();
    changed_.notify_all();
  }
}

}  // namespace imctl::host::cli
