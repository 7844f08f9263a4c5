#include "core/stacks.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>

#include "core/symbols.h"

namespace imctl::host {
namespace {

constexpr size_t kMostFrames = 64;
constexpr int64_t kPatience = 200'000'000;  // ns that a thread has to answer

// The one look that is under way. The handler runs on the thread that is looked at, and only fills
// in what is asked of that thread; one that comes too late finds that nobody asks it.
struct Look {
  std::atomic<pid_t> asked{0};
  std::array<void*, kMostFrames> frames{};
  int count = 0;
  sem_t answered{};
};
Look look;

int stack_signal() { return SIGRTMIN + 6; }

void on_signal(int /*signal*/) {
  const int saved = errno;
  auto self = static_cast<pid_t>(::syscall(SYS_gettid));
  if (look.asked.compare_exchange_strong(self, -1)) {
    look.count = ::backtrace(look.frames.data(), kMostFrames);
    (void)::sem_post(&look.answered);
  }
  errno = saved;
}

void prepare() {
  (void)::sem_init(&look.answered, 0, 0);
  // Its first use loads a library, which no handler may.
  (void)::backtrace(look.frames.data(), 1);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  // It stays: a thread may answer late.
  (void)::sigaction(stack_signal(), &action, nullptr);
}

bool wait_for_answer() {
  timespec until{};
  (void)::clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += kPatience;
  if (until.tv_nsec >= 1'000'000'000) {
    until.tv_nsec -= 1'000'000'000;
    ++until.tv_sec;
  }
  while (::sem_timedwait(&look.answered, &until) != 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

std::vector<void*> addresses_of(pid_t thread) {
  look.asked = thread;
  if (::syscall(SYS_tgkill, ::getpid(), thread, stack_signal()) != 0) {
    look.asked = 0;
    return {};
  }
  if (!wait_for_answer()) {
    pid_t expected = thread;
    if (look.asked.compare_exchange_strong(expected, 0)) return {};
    // It has begun just now.
    while (::sem_wait(&look.answered) != 0) continue;
  }
  // The first two are the handler and what calls it.
  constexpr int kOurs = 2;
  const auto begin = look.frames.begin();
  return std::vector<void*>(begin + std::min(kOurs, look.count), begin + look.count);
}

std::string name_of(pid_t thread) {
  std::string name;
  std::getline(std::ifstream("/proc/self/task/" + std::to_string(thread) + "/comm"), name);
  return name;
}

Frame frame_of(void* address, std::map<std::string, Symbols>* known) {
  Dl_info info{};
  if (::dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {"", "?"};
  // A return address is behind the call, which may be the last of its function.
  const auto offset = static_cast<uint64_t>(static_cast<const char*>(address) -
                                            static_cast<const char*>(info.dli_fbase)) -
                      1;
  std::string file = info.dli_fname;
  auto found = known->find(file);
  if (found == known->end()) found = known->emplace(file, Symbols::read(file)).first;
  char text[32];
  (void)std::snprintf(text, sizeof(text), "+0x%llx", static_cast<unsigned long long>(offset));
  return {found->second.function_at(offset),
          std::filesystem::path(file).filename().string() + text};
}

}  // namespace

std::vector<ThreadStack> all_stacks() {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  static const bool prepared = (prepare(), true);
  (void)prepared;
  std::vector<std::pair<pid_t, std::vector<void*>>> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", error)) {
    auto thread = static_cast<pid_t>(std::atoi(entry.path().filename().c_str()));
    found.emplace_back(thread, addresses_of(thread));
  }
  // Files are read when no thread is stopped any more.
  std::map<std::string, Symbols> known;
  std::vector<ThreadStack> stacks;
  for (const auto& [thread, addresses] : found) {
    ThreadStack& stack = stacks.emplace_back();
    stack.thread = thread;
    stack.name = name_of(thread);
    for (void* address : addresses) stack.frames.push_back(frame_of(address, &known));
  }
  return stacks;
}

}  // namespace imctl::host
