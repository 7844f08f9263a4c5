#include "road/call_handle.h"

#include <array>
#include <cstddef>
#include <new>
#include <string>
#include <utility>

#include "road/call.h"
#include "road/instance.h"
#include "road/rules.h"

namespace imctl::host {
namespace {

// What is left of a call.
struct Grave : imctl_call {
  Instance* instance;
};
static_assert(sizeof(Grave) <= sizeof(Call));

// Of each thread: others' memory would have to be fetched and given back across processors.
constexpr size_t kGraves = 32;

struct Yard {
  Yard() = default;
  Yard(const Yard&) = delete;
  Yard& operator=(const Yard&) = delete;
  ~Yard() {
    // A call may still end on this thread after this.
    for (void*& grave : graves) ::operator delete(std::exchange(grave, nullptr));
  }
  std::array<void*, kGraves> graves{};
  size_t oldest = 0;
};
thread_local Yard yard;

Instance* owner_of(const imctl_call* handle) {
  if (handle->state.load(std::memory_order_acquire) == ImctlCallState::kGone) {
    return static_cast<const Grave*>(handle)->instance;
  }
  return Call::from(handle)->instance();
}

}  // namespace

const Call* open_call(const imctl_call* handle, const char* what) {
  if (handle->state.load(std::memory_order_acquire) == ImctlCallState::kOpen) {
    return Call::from(handle);
  }
  owner_of(handle)->broke(Rule::kUseAfterFinish,
                          std::string(what) + " of a call that it has finished: ignored");
  return nullptr;
}

Call* open_call(imctl_call* handle, const char* what) {
  return const_cast<Call*>(open_call(static_cast<const imctl_call*>(handle), what));
}

bool take_handle(imctl_call* handle) {
  auto open = ImctlCallState::kOpen;
  if (handle->state.compare_exchange_strong(open, ImctlCallState::kFinished,
                                            std::memory_order_acq_rel)) {
    return true;
  }
  owner_of(handle)->broke(Rule::kFinishOnce, "finishes a call that it has finished: ignored");
  return false;
}

void bury(void* memory, Instance* instance) {
  auto* grave = new (memory) Grave;
  grave->instance = instance;
  grave->state.store(ImctlCallState::kGone, std::memory_order_release);
  ::operator delete(std::exchange(yard.graves[yard.oldest], memory));
  yard.oldest = (yard.oldest + 1) % kGraves;
}

void* dig_up(size_t size) {
  void* oldest = std::exchange(yard.graves[yard.oldest], nullptr);
  return oldest != nullptr ? oldest : ::operator new(size);
}

}  // namespace imctl::host
