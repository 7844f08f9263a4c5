#include "core/log_ring.h"

#include <algorithm>
#include <utility>

namespace imctl::host {

void LogRing::set_limit(size_t bytes) {
  std::lock_guard lock(mutex_);
  limit_ = bytes;
  shrink();
}

// Under the lock.
void LogRing::shrink() {
  while (bytes_ > limit_ && records_.size() > 1) {
    bytes_ -= records_.front()->bytes();
    records_.pop_front();
    ++first_;
  }
}

void LogRing::push(LogRecord record) {
  auto made = std::make_shared<const LogRecord>(std::move(record));
  {
    std::lock_guard lock(mutex_);
    bytes_ += made->bytes();
    records_.push_back(std::move(made));
    shrink();
  }
  wakes_.came();
}

uint64_t LogRing::first() const {
  std::lock_guard lock(mutex_);
  return first_;
}

uint64_t LogRing::next() const {
  std::lock_guard lock(mutex_);
  return first_ + records_.size();
}

uint64_t LogRing::read(uint64_t* from, size_t count, std::vector<Record>* lines) const {
  std::lock_guard lock(mutex_);
  uint64_t lost = *from < first_ ? first_ - *from : 0;
  *from += lost;
  for (size_t at = *from - first_; at < records_.size() && count > 0; ++at, --count) {
    lines->push_back(records_[at]);
    ++*from;
  }
  return lost;
}

}  // namespace imctl::host
