// A Bloom filter over keys: says that a key is certainly not in a bucket, so that its index need
// not be looked at. A block of eight words, a bit in each of them a key (split blocks, as in
// Parquet); at kKeys keys about one in 5,000 others is taken for one of them, so that hardly any
// bucket is looked at in vain even when there are hundreds.
#ifndef IMCTL_STORAGE_SQLITE_FILTER_H
#define IMCTL_STORAGE_SQLITE_FILTER_H

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "key.h"

namespace imctl::storage {

class Filter {
 public:
  static constexpr size_t kKeys = 65536;

  Filter() : words_(kBlocks * kWords) {}
  // Bytes of another size are of no filter of this kind.
  static bool valid(std::string_view bytes) { return bytes.size() == kBytes; }
  // Of valid bytes().
  explicit Filter(std::string_view bytes) : Filter() {
    std::memcpy(words_.data(), bytes.data(), bytes.size());
  }

  static constexpr size_t size() { return kBytes; }
  std::string_view bytes() const { return {reinterpret_cast<const char*>(words_.data()), kBytes}; }

  void add(const Key& key) {
    uint64_t* block = &words_[block_of(key)];
    uint64_t bits = key.word(1);
    for (size_t i = 0; i < kWords; ++i, bits >>= kShift) {
      block[i] |= bit(bits);
    }
  }

  // False: the key was never added.
  bool may_have(const Key& key) const {
    const uint64_t* block = &words_[block_of(key)];
    uint64_t bits = key.word(1);
    for (size_t i = 0; i < kWords; ++i, bits >>= kShift) {
      if ((block[i] & bit(bits)) == 0) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kWords = 8;      // 64 bytes: a cache line
  static constexpr unsigned kShift = 8;    // bits of the key that choose one bit; 6 are used
  static constexpr size_t kBlocks = 2560;  // 20 bits a key
  static constexpr size_t kBytes = kBlocks * kWords * sizeof(uint64_t);

  static size_t block_of(const Key& key) {
    return static_cast<size_t>((key.word(0) >> 32U) * kBlocks >> 32U) * kWords;
  }
  static uint64_t bit(uint64_t bits) { return uint64_t{1} << (bits & 63U); }

  std::vector<uint64_t> words_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_FILTER_H
