#include "runner/crash.h"

#include <execinfo.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace imctl::host {
namespace {

constexpr std::array<int, 6> kFatal = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};

void print(const char* text) { (void)!write(STDERR_FILENO, text, strlen(text)); }

// Calls nothing but what may be called in a signal handler. backtrace() is fine once it was called
// before.
void report(int number, siginfo_t* /*info*/, void* /*context*/) {
  static std::atomic_flag reporting;
  if (!reporting.test_and_set()) {
    const char* name = sigabbrev_np(number);
    std::array<char, 16> thread{};
    prctl(PR_GET_NAME, thread.data());
    print("SIG");
    print(name == nullptr ? "?" : name);
    print(" in thread ");
    print(thread.data());
    print("; its stack (`addr2line -Cfe FILE OFFSET` names the lines):\n");
    std::array<void*, 64> frames;
    int count = backtrace(frames.data(), static_cast<int>(frames.size()));
    backtrace_symbols_fd(frames.data(), count, STDERR_FILENO);
  }
  // The handler is the default's again: this ends the process, as it should.
  raise(number);
}

class AlternateStack {
 public:
  AlternateStack() : memory_(std::make_unique<char[]>(kSize)) {
    stack_t stack{};
    stack.ss_sp = memory_.get();
    stack.ss_size = kSize;
    // A sanitizer may have one of its own.
    stack_t before{};
    sigaltstack(nullptr, &before);
    ours_ = (before.ss_flags & SS_DISABLE) != 0 && sigaltstack(&stack, nullptr) == 0;
  }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;
  ~AlternateStack() {
    if (!ours_) return;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
  }

 private:
  static constexpr size_t kSize = size_t{64} << 10;
  std::unique_ptr<char[]> memory_;
  bool ours_ = false;
};

}  // namespace

void report_crashes() {
  std::array<void*, 4> frames;
  backtrace(frames.data(), static_cast<int>(frames.size()));  // loads what it needs
  struct sigaction action {};
  action.sa_sigaction = &report;
  sigemptyset(&action.sa_mask);
  action.sa_flags = static_cast<int>(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND);
  for (int number : kFatal) sigaction(number, &action, nullptr);
  report_full_stack_of_thread();
}

void report_full_stack_of_thread() { thread_local AlternateStack stack; }

}  // namespace imctl::host
