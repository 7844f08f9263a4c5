// An owner of a Call, or of none.
#ifndef IMCTL_HOST_ROAD_CALL_REF_H
#define IMCTL_HOST_ROAD_CALL_REF_H

#include <utility>

namespace imctl::host {

class Call;

class CallRef {
 public:
  CallRef() = default;
  explicit CallRef(Call* taken) : call_(taken) {}
  CallRef(CallRef&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  CallRef& operator=(CallRef&& other) noexcept {
    std::swap(call_, other.call_);
    return *this;
  }
  ~CallRef() {
    if (call_ != nullptr) release(call_);
  }
  Call* operator->() const { return call_; }
  Call* get() const { return call_; }
  Call* give() { return std::exchange(call_, nullptr); }
  explicit operator bool() const { return call_ != nullptr; }

 private:
  static void release(Call* call);

  Call* call_ = nullptr;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_CALL_REF_H
