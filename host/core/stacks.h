// Where the threads of this process are.
#ifndef IMCTL_HOST_CORE_STACKS_H
#define IMCTL_HOST_CORE_STACKS_H

#include <sys/types.h>

#include <string>
#include <vector>

namespace imctl::host {

struct Frame {
  std::string function;  // as far as the file's symbols tell
  std::string location;  // "libc.so.6+0x8a3f0", for addr2line
};

struct ThreadStack {
  pid_t thread = 0;
  std::string name;
  std::vector<Frame> frames;  // the innermost first; empty: it did not answer
};

// Stops each thread for a moment, by a real-time signal, and looks at its stack. For
// one at a time; others wait. May take a while if threads do not answer.
std::vector<ThreadStack> all_stacks();

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_STACKS_H
