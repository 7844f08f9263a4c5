// What the process of an isolated module may have.
#ifndef IMCTL_HOST_LINK_PROCESS_LIMITS_H
#define IMCTL_HOST_LINK_PROCESS_LIMITS_H

#include <chrono>
#include <cstdint>

namespace imctl::host {

struct ProcessLimits {
  uint64_t memory = 0;   // bytes of address space; 0: no limit
  uint32_t files = 0;    // open files; 0: no limit
  uint32_t nice = 0;     // how far behind others, as nice(1) counts
  bool sandbox = false;  // may not start programs, trace others, mount, load code into the kernel
  uint32_t restarts = 0;                     // that may be within a minute
  std::chrono::nanoseconds answer_within{};  // to a sign of life, else it is ended

  bool operator==(const ProcessLimits&) const = default;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_PROCESS_LIMITS_H
