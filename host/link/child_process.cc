#include "link/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// glibc 2.36 forgot that C++ includes it too.
extern "C" {}

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "link/hello.h"

namespace imctl::host {
namespace {

// Descriptors that are closed if nobody takes them.
template <size_t N>
class Descriptors {
 public:
  Descriptors() { all_.fill(-1); }
  Descriptors(const Descriptors&) = delete;
  Descriptors& operator=(const Descriptors&) = delete;
  ~Descriptors() {
    for (int fd : all_) {
      if (fd >= 0) close(fd);
    }
  }
  int& operator[](size_t i) { return all_[i]; }
  std::array<int, N> give() {
    std::array<int, N> given = all_;
    all_.fill(-1);
    return given;
  }

 private:
  std::array<int, N> all_;
};

// Out of the way of the numbers that the child's are to have.
bool move_up(int* fd) {
  constexpr int kAbove = 10;
  int moved = fcntl(*fd, F_DUPFD_CLOEXEC, kAbove);
  if (moved < 0) return false;
  close(*fd);
  *fd = moved;
  return true;
}

Status cannot(const std::string& program, const char* what, int error) {
  return {IMCTL_UNAVAILABLE,
          "cannot start " + program + " for it: " + what + ": " + strerror(error)};
}

// The host's own settings, maybe with secrets, are no module's business.
std::vector<char*> environment_of_child() {
  std::vector<char*> kept;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::string_view(*variable).substr(0, 6) != "IMCTL_") kept.push_back(*variable);
  }
  kept.push_back(nullptr);
  return kept;
}

}  // namespace

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const std::string& program,
                                                          std::vector<std::string> words) {
  if (access(program.c_str(), X_OK) != 0) {
    return Status(IMCTL_FAILED_PRECONDITION,
                  "it is to run in a process of its own, but " + program +
                      ", which would run it, cannot be used: " + strerror(errno) +
                      "; install imctl completely, or set isolate = no in its section");
  }
  Descriptors<kPipes> ours;
  Descriptors<kPipes> theirs;
  for (size_t i = 0; i < kPipes; ++i) {
    std::array<int, 2> pair{-1, -1};
    bool socket = i == kLink || i == kAsk;
    int made = socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data())
                      : pipe2(pair.data(), O_CLOEXEC);
    if (made != 0) return cannot(program, "no descriptors", errno);
    ours[i] = pair[0];
    theirs[i] = pair[1];
    if (!move_up(&theirs[i])) return cannot(program, "no descriptors", errno);
  }

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, theirs[kOut], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, theirs[kErr], STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, theirs[kLink], kLinkDescriptor);
  posix_spawn_file_actions_adddup2(&actions, theirs[kAsk], kAskDescriptor);
  posix_spawn_file_actions_addclosefrom_np(&actions, kAskDescriptor + 1);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::vector<char*> environment = environment_of_child();
  pid_t pid = 0;
  int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, arguments.data(),
                          environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return cannot(program, "spawn", error);
  // By number: glibc 2.36 forgets to declare its functions for C++.
  int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    error = errno;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return cannot(program, "pidfd", error);
  }
  fcntl(pidfd, F_SETFD, FD_CLOEXEC);
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid, pidfd, ours.give()));
}

void ChildProcess::kill_and_wait() {
  if (ended()) return;
  signal(SIGKILL);
  siginfo_t info{};
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd_), &info, WEXITED) != 0 && errno == EINTR) {
  }
  end_ = "was killed";
}

ChildProcess::~ChildProcess() {
  kill_and_wait();
  close(pidfd_);
  for (int fd : ours_) {
    if (fd >= 0) close(fd);
  }
}

int ChildProcess::take(Pipe pipe) { return std::exchange(ours_[pipe], -1); }

void ChildProcess::signal(int number) {
  if (!end_) syscall(SYS_pidfd_send_signal, pidfd_, number, nullptr, 0);
}

void ChildProcess::signal_thread(pid_t thread, int number) {
  // Its number is not used again while nobody has waited for it.
  if (!end_) syscall(SYS_tgkill, pid_, thread, number);
}

std::optional<std::string> ChildProcess::ended() {
  if (end_) return end_;
  siginfo_t info{};
  if (waitid(P_PIDFD, static_cast<id_t>(pidfd_), &info, WEXITED | WNOHANG) != 0) {
    if (errno == EINTR) return end_;
    end_ = "is gone";  // somebody else waited for it
  } else if (info.si_pid == 0) {
    return end_;
  } else if (info.si_code == CLD_EXITED) {
    end_ = "exited with code " + std::to_string(info.si_status);
  } else {
    const char* name = sigabbrev_np(info.si_status);
    end_ =
        "died (" +
        (name == nullptr ? "signal " + std::to_string(info.si_status) : std::string("SIG") + name) +
        ")";
  }
  return end_;
}

}  // namespace imctl::host
