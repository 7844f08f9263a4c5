#include "bucket.h"

#include <array>
#include <cstring>

namespace imctl::storage {
namespace {

// A few kilobytes each.
constexpr size_t kMostStatements = 1000;

constexpr size_t kKeySize = sizeof(Key::bytes);
constexpr size_t kEntrySize = kKeySize + sizeof(uint32_t);

}  // namespace

std::string body_table(const std::string& log, int64_t bucket) {
  return "\"" + log + "_" + std::to_string(bucket) + "\"";
}

Index::Index(std::span<const KeyRow> entries) : Index() {
  std::array<size_t, kChunks> count{};
  for (const KeyRow& entry : entries) ++count[chunk_of(entry.key)];
  for (size_t i = 0; i < kChunks; ++i) chunks_[i].reserve(count[i] * kEntrySize);
  for (const KeyRow& entry : entries) {
    std::string& chunk = chunks_[chunk_of(entry.key)];
    chunk += entry.key.view();
    for (unsigned shift = 0; shift < 32; shift += 8) {
      chunk += static_cast<char>(entry.row >> shift & 0xffU);
    }
  }
}

// Keys are as good as random, so the second byte says about where in the chunk a key is; from there
// it is a few steps, most of them in the same cache line.
uint32_t Index::find_in(std::string_view chunk, const Key& key) {
  const size_t count = chunk.size() / kEntrySize;
  auto order = [&](size_t at) {
    return std::memcmp(chunk.data() + at * kEntrySize, key.bytes.data(), kKeySize);
  };
  size_t at = count * static_cast<unsigned char>(key.bytes[1]) >> 8U;
  while (at < count && order(at) < 0) ++at;
  while (at > 0 && order(at - 1) >= 0) --at;
  if (at == count || order(at) != 0) return 0;
  uint32_t row = 0;
  for (size_t i = 0; i < sizeof(row); ++i) {
    row |= uint32_t{static_cast<unsigned char>(chunk[at * kEntrySize + kKeySize + i])} << (8 * i);
  }
  return row;
}

int64_t BucketReader::row_of(const Bucket& bucket, const Key& key) {
  if (bucket.index != nullptr) return bucket.index->find(key);
  Query query(row(bucket.number));
  query << kIndexRow + static_cast<int64_t>(Index::chunk_of(key));
  return query.step() ? Index::find_in(query.blob(kData), key) : 0;
}

std::shared_ptr<const Index> BucketReader::index(int64_t bucket) {
  auto index = std::make_shared<Index>();
  for (size_t i = 0; i < Index::kChunks; ++i) {
    Query query(row(bucket));
    query << kIndexRow + static_cast<int64_t>(i);
    if (query.step()) index->chunk(i) = query.text(kData);
  }
  return index;
}

std::shared_ptr<const Filter> BucketReader::filter(int64_t bucket) {
  Query query(row(bucket));
  query << kFilterRow;
  if (!query.step() || !Filter::valid(query.blob(kData))) return nullptr;
  return std::make_shared<const Filter>(query.blob(kData));
}

SQLite::Statement& BucketReader::row(int64_t bucket) {
  std::unique_ptr<SQLite::Statement>& found = statements_[bucket];
  if (found == nullptr) {
    try {
      found = std::make_unique<SQLite::Statement>(
          connection_->db(), "SELECT ts,d,p FROM " + body_table(log_, bucket) + " WHERE row=?");
    } catch (...) {
      statements_.erase(bucket);
      throw;
    }
  }
  return *found;
}

void BucketReader::trim() {
  if (statements_.size() > kMostStatements) statements_.clear();
}

}  // namespace imctl::storage
