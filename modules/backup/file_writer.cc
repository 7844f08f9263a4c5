#include "file_writer.h"

#include <sodium.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace imctl::backup {
namespace {

using storage::v1::SnapshotItem;

constexpr size_t kId = 16;
// zstd looks for what is alike in all of a block: 2^23 bytes.
constexpr int kWindowLog = 23;
bool ends_block(std::string_view record, size_t about) {
  // Any hash will do, as long as it is always the same.
  constexpr unsigned char kKey[crypto_shorthash_KEYBYTES] = {};
  uint64_t hash = 0;
  static_assert(sizeof(hash) == crypto_shorthash_BYTES);
  crypto_shorthash(reinterpret_cast<unsigned char*>(&hash),
                   reinterpret_cast<const unsigned char*>(record.data()), record.size(), kKey);
  const double chance = static_cast<double>(record.size() + 1) / static_cast<double>(about);
  return static_cast<double>(hash) <
         chance * static_cast<double>(std::numeric_limits<uint64_t>::max());
}

}  // namespace

FileWriter::FileWriter(v1::FileHeader header, Options options, std::string* out)
    : header_(std::move(header)),
      options_(std::move(options)),
      out_(out),
      frames_(std::make_unique<FrameWriter>(out)),
      context_(ZSTD_createCCtx()) {
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, options_.level);
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_windowLog, kWindowLog);
  std::string id(kId, '\0');
  randombytes_buf(id.data(), id.size());
  header_.set_id(to_hex(id));
  header_.set_format(1);
  if (!options_.public_key.empty()) {
    seal_ = Seal::make(options_.public_key, header_.mutable_encryption());
  }
  frames_->add(FrameType::kHeader, header_.SerializeAsString(), out_);
}

Status FileWriter::add_frame(FrameType type, const google::protobuf::MessageLite& content) {
  std::string bytes;
  if (!content.SerializeToString(&bytes) ||
      bytes.size() > std::numeric_limits<uint32_t>::max() - 1024) {
    return {IMCTL_RESOURCE_EXHAUSTED, "a record is too large for a backup"};
  }
  frames_->add(type, seal_ ? seal_->close(bytes, frames_->number()) : bytes, out_);
  return {};
}

Status FileWriter::append(v1::BlockKind kind, std::string_view whole, std::string_view record) {
  if (kind != kind_) {
    if (Status status = end_block(); !status.ok()) return status;
    kind_ = kind;
  }
  block_.append(whole);
  ++records_;
  const BlockSizes& sizes = options_.sizes;
  if (block_.size() >= sizes.most ||
      (block_.size() >= sizes.least && ends_block(record, sizes.about))) {
    return end_block();
  }
  return {};
}

Status FileWriter::end_block() {
  if (records_ == 0) return {};
  v1::Block block;
  block.set_kind(kind_);
  block.set_records(records_);
  block.set_size(block_.size());
  block.set_digest(hash_of(block_));
  trailer_.set_blocks(trailer_.blocks() + 1);
  trailer_.set_size(trailer_.size() + block_.size());
  if (!options_.known.contains(block.digest()) && own_.insert(block.digest()).second) {
    compressed_.resize(std::max(compressed_.size(), ZSTD_compressBound(block_.size())));
    const size_t size = ZSTD_compress2(context_.get(), compressed_.data(), compressed_.size(),
                                       block_.data(), block_.size());
    if (ZSTD_isError(size) != 0) {
      return {IMCTL_RESOURCE_EXHAUSTED, std::string("zstd: ") + ZSTD_getErrorName(size)};
    }
    block.set_data(compressed_.data(), size);
    trailer_.set_own_blocks(trailer_.own_blocks() + 1);
    v1::IndexedBlock* entry = index_.add_blocks();
    entry->set_digest(block.digest());
    entry->set_offset(frames_->offset());
    entry->set_number(frames_->number());
  }
  block_.clear();
  records_ = 0;
  return add_frame(FrameType::kBlock, block);
}

Status FileWriter::add_dump(std::string_view chunk) {
  return for_each_record(chunk, [&](std::string_view whole, std::string_view record) -> Status {
    const auto kind = kind_of(record);
    if (end_ || (kind == SnapshotItem::kBegin) == begun_ || kind == SnapshotItem::ITEM_NOT_SET) {
      return {IMCTL_DATA_LOSS, "what the storage dumps is no dump"};
    }
    if (kind == SnapshotItem::kBegin || kind == SnapshotItem::kEnd) {
      SnapshotItem item;
      if (!item.ParseFromArray(record.data(), static_cast<int>(record.size()))) {
        return {IMCTL_DATA_LOSS, "what the storage dumps is no dump"};
      }
      begun_ = true;
      if (kind == SnapshotItem::kEnd) end_ = item.end();
      return {};
    }
    count(kind, trailer_.mutable_stored());
    return append(v1::BLOCK_KIND_STORAGE, whole, record);
  });
}

Status FileWriter::dump_ended() const {
  if (end_ && same(*end_, trailer_.stored())) return {};
  return {IMCTL_DATA_LOSS, "the storage's dump has not come to its end, or lacks parts of it"};
}

Status FileWriter::add(v1::BlockKind kind, const google::protobuf::MessageLite& record) {
  const std::string bytes = record.SerializeAsString();
  std::string whole;
  append_record(bytes, &whole);
  if (kind == v1::BLOCK_KIND_SETTINGS) trailer_.set_settings(trailer_.settings() + 1);
  if (kind == v1::BLOCK_KIND_MODULES) trailer_.set_modules(trailer_.modules() + 1);
  return append(kind, whole, bytes);
}

Status FileWriter::finish() {
  if (Status status = end_block(); !status.ok()) return status;
  if (Status status = add_frame(FrameType::kIndex, index_); !status.ok()) return status;
  // In plain: `list` shows it.
  frames_->add(FrameType::kTrailer, trailer_.SerializeAsString(), out_);
  frames_->end(out_);
  finished_ = true;
  return {};
}

}  // namespace imctl::backup
