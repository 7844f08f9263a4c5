#include "inbox.h"

#include <algorithm>
#include <limits>

namespace imctl::router {
namespace {

// What a message counts as beside its content.
constexpr size_t kOverhead = 64;
size_t size_of(const Payload& payload) { return kOverhead + (payload ? payload->size() : 0); }

}  // namespace

void Inbox::begin_after(uint64_t epoch, uint64_t sequence) {
  epoch_ = epoch;
  next_ = sequence + 1;
  base_ = next_;
  known_ = acked_ = sequence;
  begun_ = look_ = true;
}

void Inbox::push(Sink& sink, uint64_t epoch, uint64_t sequence, WallTime time,
                 const Payload& payload) {
  if (!begun_ || !confirmed_) {
    look_ = true;
    return;
  }
  if (epoch != epoch_) {
    if (epoch < epoch_) return;  // of a life of the mailbox that is over
    if (epoch_ != 0 || next_ != 1 || sequence != 1) {
      look_ = true;  // only the store says where the new life begins
      return;
    }
    epoch_ = epoch;  // the first message of a mailbox that was empty
  }
  if (sequence < next_) return;
  known_ = std::max(known_, sequence);
  if (sequence == next_ && payload != nullptr) {
    if (deliver(sink, time, payload)) {
      ++sink.stats.delivered_live;
      drain_ahead(sink);
    }
  } else if (sequence > next_) {
    put_aside(sink, sequence, time, payload);
  }
}

uint64_t Inbox::reading() {
  read_epoch_ = epoch_;
  read_known_ = known_;
  look_ = false;
  return begun_ ? next_ - 1 : uint64_t{std::numeric_limits<int64_t>::max()};
}

bool Inbox::page(Sink& sink, const Page& page) {
  if (!confirmed_ && !confirm(sink, page)) return true;
  if (page.epoch != epoch_) {
    if (page.epoch > epoch_) {
      if (epoch_ == 0) {
        epoch_ = page.epoch;  // it was empty, and numbers begin at 1
      } else {
        jump(sink, page.epoch, std::max<uint64_t>(page.first, 1));
        known_ = page.last;
        return true;  // the entries are those after a number of the old epoch
      }
    } else {
      // The mailbox is gone, or the page is older than its first message, which was pushed
      // meanwhile.
      if (read_epoch_ == epoch_ && read_known_ == known_) {
        known_ = next_ - 1;
        clear(sink);
      }
      return true;
    }
  }
  if (page.first > next_) jump(sink, epoch_, page.first);
  // What pushes said while the page was on its way stands; otherwise the store knows best.
  if (known_ > read_known_) {
    known_ = std::max(known_, page.last);
  } else {
    if (known_ > page.last) clear(sink);
    known_ = page.last;
  }
  const uint64_t before = next_;
  for (const PageEntry& entry : page.entries) {
    if (entry.sequence < next_) continue;
    if (entry.sequence > next_ || !deliver(sink, entry.time, entry.payload)) break;
  }
  drain_ahead(sink);
  return next_ > before || known_ < next_ || !room() || page.last < before;
}

// The first page: whether the client's word about where it stands is true.
bool Inbox::confirm(Sink& sink, const Page& page) {
  confirmed_ = true;
  if (at_end_) {
    begin_after(page.epoch, page.last);
    look_ = false;
    sink.out.emplace_back(Opened{session_, epoch_, page.last});
    return false;
  }
  if (epoch_ == 0 && next_ > 1) epoch_ = page.epoch;
  if (page.epoch == epoch_ && next_ > page.last + 1) {
    // It says that it has what was never there.
    jump(sink, page.epoch, page.last + 1);
  } else if (page.epoch < epoch_) {
    // The mailbox of which it has something is gone, and nobody wrote to a new one yet.
    jump(sink, page.epoch, std::max<uint64_t>(page.first, 1));
  }
  return true;
}

bool Inbox::deliver(Sink& sink, WallTime time, const Payload& payload) {
  const size_t size = size_of(payload);
  if (!fits(size)) {
    need_ = size;
    return false;
  }
  need_ = 0;
  sink.out.emplace_back(Deliver{session_, epoch_, next_, time, payload, size});
  ++sink.stats.delivered;
  sizes_.push_back(static_cast<uint32_t>(std::min<size_t>(size, UINT32_MAX)));
  unacked_ += sizes_.back();
  queued_ += size;
  sink.stats.queued += size;
  average_ = static_cast<uint32_t>((uint64_t{average_} * 7 + sizes_.back()) / 8);
  ++next_;
  known_ = std::max(known_, next_ - 1);
  return true;
}

void Inbox::put_aside(Sink& sink, uint64_t sequence, WallTime time, const Payload& payload) {
  if (payload == nullptr || !room()) return;
  const size_t size = size_of(payload);
  if (ahead_bytes_ + size > sink.max_ahead || sink.stats.ahead + size > sink.max_ahead_total)
    return;
  if (!ahead_) ahead_ = std::make_unique<std::map<uint64_t, Aside>>();
  if (!ahead_->try_emplace(sequence, Aside{time, payload}).second) return;
  ahead_bytes_ += static_cast<uint32_t>(size);
  sink.stats.ahead += size;
}

void Inbox::drain_ahead(Sink& sink) {
  if (!ahead_) return;
  while (!ahead_->empty()) {
    const auto first = ahead_->begin();
    if (first->first > next_) return;
    if (first->first == next_ && !deliver(sink, first->second.time, first->second.payload)) return;
    const size_t size = size_of(first->second.payload);
    ahead_bytes_ -= static_cast<uint32_t>(size);
    sink.stats.ahead -= size;
    ahead_->erase(first);
  }
  ahead_.reset();
}

void Inbox::clear(Sink& sink) {
  sink.stats.ahead -= ahead_bytes_;
  ahead_bytes_ = 0;
  ahead_.reset();
}

void Inbox::jump(Sink& sink, uint64_t epoch, uint64_t first) {
  if (epoch != epoch_) {
    clear(sink);
    acked_ = 0;
    known_ = 0;
  }
  epoch_ = epoch;
  next_ = first;
  acked_ = std::min(acked_, first - 1);
  need_ = 0;
  // What the client has not acknowledged it need not any more.
  sizes_.clear();
  head_ = 0;
  unacked_ = 0;
  base_ = first;
  sink.out.emplace_back(Reset{session_, epoch, first});
}

bool Inbox::ack(Sink& sink, uint64_t epoch, uint64_t sequence) {
  if (epoch != epoch_) return true;  // it did not see the Reset yet
  if (sequence >= next_) return false;
  if (sequence <= acked_) return true;
  acked_ = sequence;
  while (base_ <= sequence && head_ < sizes_.size()) {
    unacked_ -= sizes_[head_++];
    ++base_;
  }
  forget_unacknowledged();
  drain_ahead(sink);
  return true;
}

// An idle session holds no memory for what it had on the way once.
void Inbox::forget_unacknowledged() {
  if (head_ == sizes_.size()) {
    sizes_.clear();
    head_ = 0;
    if (sizes_.capacity() > 16) sizes_.shrink_to_fit();
  } else if (head_ > 256 && head_ > sizes_.size() / 2) {
    sizes_.erase(sizes_.begin(), sizes_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
}

void Inbox::written(Sink& sink, size_t size) {
  const size_t taken = std::min(queued_, size);
  queued_ -= taken;
  sink.stats.queued -= taken;
  drain_ahead(sink);
}

uint32_t Inbox::room_for(uint32_t most) const {
  const size_t window = window_ - std::min(window_, unacked_);
  const size_t transport = max_queued_ - std::min(max_queued_, queued_);
  const size_t count = std::min(window, transport) / std::max<uint32_t>(average_, 1);
  return static_cast<uint32_t>(std::clamp<size_t>(count, 1, most));
}

}  // namespace imctl::router
