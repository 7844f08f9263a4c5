// What a crash leaves behind: a line with the signal's name and a stack, on standard error, which
// the host puts into its log.
#ifndef IMCTL_HOST_RUNNER_CRASH_H
#define IMCTL_HOST_RUNNER_CRASH_H

namespace imctl::host {

// For the whole process; early.
void report_crashes();

// Lets the calling thread report even that its stack is full. Cheap when done already.
void report_full_stack_of_thread();

}  // namespace imctl::host

#endif  // IMCTL_HOST_RUNNER_CRASH_H
