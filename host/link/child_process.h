// A child process with a socket to it, its output and nothing else of ours.
#ifndef IMCTL_HOST_LINK_CHILD_PROCESS_H
#define IMCTL_HOST_LINK_CHILD_PROCESS_H

#include <sys/types.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host {

class ChildProcess {
 public:
  // Our ends of what the child has as kLinkDescriptor, kAskDescriptor, standard output and error.
  enum Pipe { kLink, kAsk, kOut, kErr, kPipes };

  // Starts `program`, which is called `words[0]`, with the other words. The child gets our
  // environment but for what sets the host up. The calling thread must outlive the child: the child
  // may ask the kernel to end with it.
  static Result<std::unique_ptr<ChildProcess>> start(const std::string& program,
                                                     std::vector<std::string> words);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  // Kills it if it has not ended, and waits for that.
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_; }  // readable once it has ended
  // Gives a descriptor over; once each.
  int take(Pipe pipe);

  void signal(int number);
  // To one of its threads.
  void signal_thread(pid_t thread, int number);

  void kill_and_wait();

  // How it ended, in words: "died (SIGSEGV)", "exited with code 3". Nothing: it has not.
  std::optional<std::string> ended();

 private:
  ChildProcess(pid_t pid, int pidfd, const std::array<int, kPipes>& ours)
      : pid_(pid), pidfd_(pidfd), ours_(ours) {}

  const pid_t pid_;
  const int pidfd_;
  std::array<int, kPipes> ours_;
  std::optional<std::string> end_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_CHILD_PROCESS_H
