#include "link/linked.h"

#include <utility>

namespace imctl::host {
namespace {

// Messages of no bytes need memory too.
constexpr size_t kMessageCost = 64;

size_t cost_of(const BufferRef& message) { return message.size() + kMessageCost; }

}  // namespace

void Linked::read_on() {
  {
    std::lock_guard lock(mutex_);
    // One message always passes, else a large one could never.
    if (reading_ || read_all_ || (out_count_ > 0 && out_bytes_ >= shared_.window)) return;
    reading_ = true;
  }
  read_local();
}

void Linked::local_message(BufferRef message) {
  {
    std::lock_guard lock(mutex_);
    reading_ = false;
    if (message) {
      out_bytes_ += cost_of(message);
      ++out_count_;
    } else {
      read_all_ = true;
    }
  }
  if (!message) {
    local_end();
    return;
  }
  if (message.size() > kMaxFramePart) {
    give_up({IMCTL_RESOURCE_EXHAUSTED, "a message is too large for a module in its own process"});
    return;
  }
  if (send(FrameType::kMessage, {}, std::move(message))) read_on();
}

bool Linked::got_credit(const CreditFrame& frame) {
  {
    std::lock_guard lock(mutex_);
    if (frame.messages > out_count_ || frame.bytes > out_bytes_) return false;
    out_count_ -= frame.messages;
    out_bytes_ -= frame.bytes;
  }
  read_on();
  return true;
}

bool Linked::got_message(BufferRef message) {
  size_t cost = cost_of(message);
  bool too_much = false;
  {
    std::lock_guard lock(mutex_);
    if (in_count_ > 0 && in_bytes_ >= shared_.window) return false;
    // Each stream may send one message whatever its size: many large ones must not add up.
    too_much = message.size() > shared_.window &&
               shared_.held->load(std::memory_order_relaxed) + cost > shared_.held_limit;
    if (!too_much) {
      shared_.held->fetch_add(cost, std::memory_order_relaxed);
      in_bytes_ += cost;
      ++in_count_;
      if (writing_) {
        queue_.push_back(std::move(message));
        return true;
      }
      writing_ = true;
      writing_cost_ = cost;
    }
  }
  if (too_much) {
    give_up({IMCTL_RESOURCE_EXHAUSTED,
             "the streams of the module hold all the bytes they may (streams_memory): try again "
             "later, or send smaller messages"});
  } else {
    write_local(std::move(message));
  }
  return true;
}

void Linked::local_written(bool accepted) {
  BufferRef next;
  CreditFrame room;
  {
    std::lock_guard lock(mutex_);
    auto settle = [this](size_t cost) {
      in_bytes_ -= cost;
      --in_count_;
      shared_.held->fetch_sub(cost, std::memory_order_relaxed);
    };
    settle(writing_cost_);
    room_.bytes += writing_cost_;
    ++room_.messages;
    if (!accepted) {  // the rest is of no use to anyone
      for (const BufferRef& message : queue_) settle(cost_of(message));
      queue_.clear();
    }
    writing_ = !queue_.empty();
    if (writing_) {
      next = std::move(queue_.front());
      queue_.pop_front();
      writing_cost_ = cost_of(next);
    }
    // Told in pieces: a sender without room has at least so much to be told of.
    constexpr size_t kPieces = 4;
    if (accepted && room_.bytes >= shared_.window / kPieces) room = std::exchange(room_, {});
  }
  if (room.messages > 0) send(FrameType::kCredit, encode(room));
  if (next) {
    write_local(std::move(next));
  } else {
    all_written();
  }
}

bool Linked::is_written() {
  std::lock_guard lock(mutex_);
  return !writing_;
}

}  // namespace imctl::host
