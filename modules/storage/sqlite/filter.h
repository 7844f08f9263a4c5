// A Bloom filter over keys: says that a key is certainly not in a bucket, so that its index need
// not be looked at. A block of eight words, a bit in each of them a key (split blocks, as in
// Parquet); at kKeys keys about one in 5,000 others is taken for one of them, so that hardly any
// bucket is looked at in vain even when there are hundreds.
#ifndef IMCTL_STORAGE_SQLITE_FILTER_H
#define IMCTL_STORAGE_SQLITE_FILTER_H

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "key.h"

namespace imctl::storage {

class Filter {
 public:
  static constexpr size_t kKeys = 65536;

  Filter() : blocks_(kBlocks) {}
  // Bytes of another size are of no filter of this kind.
  static bool valid(std::string_view bytes) { return bytes.size() == kBytes; }
  // Of valid bytes().
  explicit Filter(std::string_view bytes) : Filter() {
    std::memcpy(blocks_.data(), bytes.data(), bytes.size());
  }

  static constexpr size_t size() { return kBytes; }
  std::string_view bytes() const { return {reinterpret_cast<const char*>(blocks_.data()), kBytes}; }

  // What is looked for, the same in all filters.
  class Probe {
   public:
    explicit Probe(const Key& key) : block_((key.word(0) >> 32U) * kBlocks >> 32U) {
      uint64_t bits = key.word(1);
      for (uint64_t& word : words_) {
        word = uint64_t{1} << (bits & 63U);
        bits >>= 8U;
      }
    }

   private:
    friend class Filter;
    size_t block_;
    std::array<uint64_t, 8> words_;
  };

  void add(const Probe& probe) {
    Block& block = blocks_[probe.block_];
    for (size_t i = 0; i < block.words.size(); ++i) block.words[i] |= probe.words_[i];
  }

  // False: the key was never added. Without branches: which of the words has the answer cannot be
  // foretold.
  bool may_have(const Probe& probe) const {
    const Block& block = blocks_[probe.block_];
    uint64_t missing = 0;
    for (size_t i = 0; i < block.words.size(); ++i) missing |= probe.words_[i] & ~block.words[i];
    return missing == 0;
  }
  void prefetch(const Probe& probe) const { __builtin_prefetch(&blocks_[probe.block_]); }

 private:
  struct alignas(64) Block {  // a cache line
    std::array<uint64_t, 8> words{};
  };
  static constexpr size_t kBlocks = 2560;  // 20 bits a key
  static constexpr size_t kBytes = kBlocks * sizeof(Block);

  std::vector<Block> blocks_;
};

// Several keys, looked for in one filter after the other.
class Probes {
 public:
  explicit Probes(std::span<const Key> keys) : probes_(keys.begin(), keys.end()) {}

  // Calls `candidate(i)` for each key that the filter may have; without a filter, for all.
  template <class Candidate>
  void look(const Filter* filter, const Candidate& candidate) const {
    constexpr size_t kAhead = 8;
    for (size_t i = 0; i < probes_.size(); ++i) {
      if (filter != nullptr && i + kAhead < probes_.size()) filter->prefetch(probes_[i + kAhead]);
      if (filter == nullptr || filter->may_have(probes_[i])) candidate(i);
    }
  }

 private:
  std::vector<Filter::Probe> probes_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_FILTER_H
