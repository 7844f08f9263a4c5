#include "road/buffer.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

namespace imctl::host {
namespace {

// The bytes of a buffer_new follow it in the same allocation.
struct HostBuffer : imctl_buffer {
  std::atomic<uint32_t> owners{1};
  void (*release)(void*) = nullptr;
  void* user = nullptr;
};

HostBuffer* make(void* memory, uint8_t* data, size_t size) {
  auto* made = new (memory) HostBuffer();
  made->struct_size = sizeof(imctl_buffer);
  made->flags = 0;
  made->data = data;
  made->size = size;
  return made;
}

}  // namespace

imctl_buffer* buffer_new(size_t size) {
  if (size > PTRDIFF_MAX - sizeof(HostBuffer)) return nullptr;
  void* memory = std::malloc(sizeof(HostBuffer) + size);
  if (memory == nullptr) return nullptr;
  return make(memory, static_cast<uint8_t*>(memory) + sizeof(HostBuffer), size);
}

imctl_buffer* buffer_wrap(const void* data, size_t size, void (*release)(void*), void* user) {
  void* memory = std::malloc(sizeof(HostBuffer));
  if (memory == nullptr) {
    if (release != nullptr) release(user);
    return nullptr;
  }
  // Nobody writes to it: a buffer that was passed on is read-only.
  HostBuffer* made = make(memory, static_cast<uint8_t*>(const_cast<void*>(data)), size);
  made->release = release;
  made->user = user;
  return made;
}

void buffer_retain(imctl_buffer* buffer) {
  static_cast<HostBuffer*>(buffer)->owners.fetch_add(1, std::memory_order_relaxed);
}

void buffer_release(imctl_buffer* buffer) {
  if (buffer == nullptr) return;
  auto* held = static_cast<HostBuffer*>(buffer);
  if (held->owners.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (held->release != nullptr) held->release(held->user);
  held->~HostBuffer();
  std::free(held);
}

BufferRef BufferRef::copy_of(std::string_view bytes) {
  BufferRef made(buffer_new(bytes.size()));
  if (made && !bytes.empty()) std::memcpy(made.raw_->data, bytes.data(), bytes.size());
  return made;
}

}  // namespace imctl::host
