// Problem: a module holds a call's handle, and finishing the call takes it away. A module that
// finishes it twice, or uses it later, would have the host read what is not there any more.
//
// So what a handle points to says of itself whether it is open, and memory of finished calls is
// kept for a while with a mark in it instead of being given back. What a module does with a handle
// that is finished is told and ignored. That holds for the last calls that ended on each thread, which is
// where such mistakes happen; a handle that is older, or that two threads finish at the same instant, is
// beyond help.
#ifndef IMCTL_HOST_ROAD_CALL_HANDLE_H
#define IMCTL_HOST_ROAD_CALL_HANDLE_H

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "imctl/module.h"

enum class ImctlCallState : uint32_t { kOpen, kFinished, kGone };

// What the ABI's opaque handles are.
struct imctl_call {
  std::atomic<ImctlCallState> state{ImctlCallState::kOpen};
};

namespace imctl::host {

class Call;
class Instance;

// The call that a module means. nullptr: it has finished it, and that was told. `what` it wants.
Call* open_call(imctl_call* handle, const char* what);
const Call* open_call(const imctl_call* handle, const char* what);

// Finishing takes the handle: true for the first who does so.
bool take_handle(imctl_call* handle);

// Takes the memory of a call that `instance` had served, once the call is destroyed.
void bury(void* memory, Instance* instance);
// Memory for a call: `size` is that of all calls.
void* dig_up(size_t size);

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_CALL_HANDLE_H
