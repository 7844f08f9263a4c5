// Buffers as the host counts them. See imctl_buffer in module.h for the contract.
#ifndef IMCTL_HOST_ROAD_BUFFER_H
#define IMCTL_HOST_ROAD_BUFFER_H

#include <cstddef>
#include <string_view>
#include <utility>

#include "imctl/module.h"

namespace imctl::host {

// One new, writable; nullptr when there is no memory.
imctl_buffer* buffer_new(size_t size);
// Somebody else's bytes; `release(user)` is called once, also when this fails.
imctl_buffer* buffer_wrap(const void* data, size_t size, void (*release)(void*), void* user);
void buffer_retain(imctl_buffer* buffer);
void buffer_release(imctl_buffer* buffer);

// An owner of a buffer, or of none.
class BufferRef {
 public:
  BufferRef() = default;
  explicit BufferRef(imctl_buffer* taken) : raw_(taken) {}
  BufferRef(const BufferRef& other) : raw_(other.raw_) {
    if (raw_ != nullptr) buffer_retain(raw_);
  }
  BufferRef(BufferRef&& other) noexcept : raw_(other.give()) {}
  BufferRef& operator=(BufferRef other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~BufferRef() { buffer_release(raw_); }

  static BufferRef copy_of(std::string_view bytes);

  explicit operator bool() const { return raw_ != nullptr; }
  size_t size() const { return raw_ == nullptr ? 0 : raw_->size; }
  std::string_view view() const {
    if (raw_ == nullptr) return {};
    return {reinterpret_cast<const char*>(raw_->data), raw_->size};
  }
  imctl_buffer* get() const { return raw_; }
  imctl_buffer* give() { return std::exchange(raw_, nullptr); }

 private:
  imctl_buffer* raw_ = nullptr;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_BUFFER_H
