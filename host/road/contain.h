// Problem: nothing may be thrown through the ABI, but a module may do it. What it throws would pass
// through the host's frames and end the process, or leave a call half told. So each call into a
// module's code is contained.
#ifndef IMCTL_HOST_ROAD_CONTAIN_H
#define IMCTL_HOST_ROAD_CONTAIN_H

#include <exception>
#include <string>
#include <utility>

#include "road/rules.h"

namespace imctl::host {

// Runs `into_module`; `thrown` is told in words what came out of it, if something did.
template <class F, class G>
bool contain(const char* where, F&& into_module, G&& thrown) {
  std::string what;
  try {
    into_module();
    return true;
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
    what = "something that is no std::exception";
  }
  thrown(std::string(where) + " threw: " + what + named(Rule::kExceptions));
  return false;
}

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_CONTAIN_H
