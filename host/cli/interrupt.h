// Ctrl-C during a call cancels the call; at any other time, or the second time, it ends the
// program.
#ifndef IMCTL_HOST_CLI_INTERRUPT_H
#define IMCTL_HOST_CLI_INTERRUPT_H

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "cli/transport.h"

namespace imctl::host::cli {

class InterruptWatch {
 public:
  // Blocks SIGINT and SIGTERM in this thread, and so in those that it starts later: to be made
  // before any other thread is.
  InterruptWatch();
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

  // Whose call is in progress; nullptr: none is.
  void set_call(Transport* transport);
  // From now on the first signal does not end the program between two calls either: who holds it
  // looks at interrupted().
  void hold();
  // Waits; false at once if a signal came or comes.
  bool wait_for(std::chrono::nanoseconds time);
  // Did a signal come that did not end the program?
  bool interrupted() const;

 private:
  void watch();

  int signals_ = -1;  // signalfd
  int stop_ = -1;     // eventfd
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Transport* transport_ = nullptr;
  bool held_ = false;
  bool interrupted_ = false;
  std::thread thread_;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_INTERRUPT_H
