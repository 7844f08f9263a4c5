// What the host tells the process of an isolated module before all else.
#ifndef IMCTL_HOST_LINK_HELLO_H
#define IMCTL_HOST_LINK_HELLO_H

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "link/process_limits.h"
#include "road/instance.h"
#include "road/method_table.h"

namespace imctl::host {

// Both ends must be of one build: nothing between them is meant to last.
std::string_view link_build();

struct Hello {
  std::string build;
  pid_t host = 0;
  std::string name;  // of the module
  std::string file;
  int32_t log_level = 0;  // the lowest that is written
  ProcessLimits process;
  InstanceLimits limits;
  std::vector<MethodInfo> methods;
};

std::string encode(const Hello& hello);
// False: malformed. `build` is right even then if it is that of another build.
bool decode(std::string_view head, Hello* hello);

// The descriptors that the process has beside the standard three.
inline constexpr int kLinkDescriptor = 3;
inline constexpr int kAskDescriptor = 4;  // see ask.h

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_HELLO_H
