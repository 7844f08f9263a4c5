// Keys and their rows in memory: an open hash table, since keys are as good as random already.
#ifndef IMCTL_STORAGE_SQLITE_KEY_TABLE_H
#define IMCTL_STORAGE_SQLITE_KEY_TABLE_H

#include <cstddef>
#include <cstdint>
#include <vector>

#include "key.h"

namespace imctl::storage {

// A key and the row that it has in its bucket.
struct KeyRow {
  Key key;
  uint32_t row = 0;  // from 1
};

// Not for use from several threads.
class KeyTable {
 public:
  // Its row; 0: it is not there.
  uint32_t find(const Key& key) const {
    if (slots_.empty()) return 0;
    return slots_[slot_of(key)].row;
  }

  // The last row that is put for a key is the one that it has.
  void put(const Key& key, uint32_t row) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    KeyRow& slot = slots_[slot_of(key)];
    if (slot.row == 0) ++size_;
    slot = {key, row};
  }

  void clear() {
    if (size_ == 0) return;
    slots_.assign(slots_.size(), KeyRow());
    size_ = 0;
  }

  size_t size() const { return size_; }

  // In no order.
  std::vector<KeyRow> entries() const {
    std::vector<KeyRow> all;
    all.reserve(size_);
    for (const KeyRow& slot : slots_) {
      if (slot.row != 0) all.push_back(slot);
    }
    return all;
  }

 private:
  static constexpr size_t kSmallest = 256;

  // Where it is, or belongs.
  size_t slot_of(const Key& key) const {
    const size_t mask = slots_.size() - 1;
    size_t at = key.word(0) & mask;
    while (slots_[at].row != 0 && slots_[at].key != key) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    const std::vector<KeyRow> before = entries();
    slots_.assign(slots_.empty() ? kSmallest : 2 * slots_.size(), KeyRow());
    for (const KeyRow& entry : before) slots_[slot_of(entry.key)] = entry;
  }

  std::vector<KeyRow> slots_;  // their number is a power of two; at most half are taken
  size_t size_ = 0;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_KEY_TABLE_H
