#include "road/pipe.h"

#include <utility>

#include "road/instance.h"

namespace imctl::host {
namespace {

// A message may wait before it is known for which instance.
void count(Instance* instance, size_t bytes) {
  if (instance != nullptr) instance->add_stream_bytes(static_cast<int64_t>(bytes));
}

void discount(Instance* instance, size_t bytes) {
  if (instance != nullptr) instance->add_stream_bytes(-static_cast<int64_t>(bytes));
}

}  // namespace

bool Pipe::fits(const BufferRef& message, const Instance* instance) const {
  if (instance == nullptr) return false;
  // One message always passes, else a large one could never.
  if (queue_.empty()) return true;
  return bytes_ + cost(message) <= instance->limits().stream_window &&
         instance->stream_bytes() + cost(message) <= instance->limits().streams_memory;
}

void Pipe::write(BufferRef message, Instance* instance) {
  if (closed_ || !message || waiting_) {
    write_answer = false;
  } else {
    accept_or_keep(std::move(message), instance);
  }
}

void Pipe::accept_or_keep(BufferRef message, Instance* instance) {
  const bool in = fits(message, instance);
  count(instance, cost(message));
  if (in) {
    bytes_ += cost(message);
    queue_.push_back(std::move(message));
    write_answer = true;
  } else {
    waiting_ = std::move(message);
  }
}

void Pipe::admit(Instance* instance) {
  if (waiting_) accept_or_keep(std::move(waiting_), instance);
}

BufferRef Pipe::read(Instance* instance) {
  if (queue_.empty()) return {};
  BufferRef message = std::move(queue_.front());
  queue_.pop_front();
  bytes_ -= cost(message);
  discount(instance, cost(message));
  if (waiting_) {
    discount(instance, cost(waiting_));
    accept_or_keep(std::move(waiting_), instance);
  }
  return message;
}

void Pipe::drop(Instance* instance) {
  closed_ = true;
  if (waiting_) {
    discount(instance, cost(waiting_));
    waiting_ = BufferRef();
    write_answer = false;
  }
  while (!queue_.empty()) read(instance);
}

}  // namespace imctl::host
