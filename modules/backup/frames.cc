#include "frames.h"

#include <sodium.h>

#include <utility>

namespace imctl::backup {
namespace {

template <class Number>
void put(std::string* to, Number value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) to->push_back(static_cast<char>(value >> (8 * i) & 0xFFU));
}

uint64_t get(const char* from, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  }
  return value;
}

std::string chained(const std::string& before, std::string_view head, std::string_view payload) {
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, kHashSize);
  for (std::string_view part : {std::string_view(before), head, payload}) {
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(part.data()),
                              part.size());
  }
  std::string hash(kHashSize, '\0');
  crypto_generichash_final(&state, reinterpret_cast<unsigned char*>(hash.data()), kHashSize);
  return hash;
}

bool known(char type) {
  switch (static_cast<FrameType>(type)) {
    case FrameType::kHeader:
    case FrameType::kBlock:
    case FrameType::kIndex:
    case FrameType::kTrailer: return true;
  }
  return false;
}

}  // namespace

std::string hash_of(std::string_view bytes) { return chained({}, {}, bytes); }

FrameWriter::FrameWriter(std::string* out) : hash_(hash_of(kMagic)), offset_(kMagic.size()) {
  out->append(kMagic);
}

void FrameWriter::add(FrameType type, std::string_view payload, std::string* out) {
  std::string head(1, static_cast<char>(type));
  put(&head, static_cast<uint32_t>(payload.size()), 4);
  hash_ = chained(hash_, head, payload);
  out->append(head);
  out->append(payload);
  out->append(hash_);
  last_ = offset_;
  offset_ += head.size() + payload.size() + kHashSize;
  ++number_;
}

void FrameWriter::end(std::string* out) const { put(out, last_, kFooter); }

FrameReader::FrameReader(std::shared_ptr<Source> source, std::string name)
    : source_(std::move(source)), name_(std::move(name)), hash_(hash_of(kMagic)) {}

Status FrameReader::damaged(uint64_t offset, const std::string& why) const {
  return {IMCTL_DATA_LOSS, name_ + " is damaged: at byte " + std::to_string(offset) + " " + why +
                               ": take another copy of it, or another backup"};
}

Status FrameReader::magic() const {
  std::string magic(kMagic.size(), '\0');
  if (source_->size() < magic.size()) return damaged(0, "it ends already");
  if (Status status = source_->read(0, magic.data(), magic.size()); !status.ok()) return status;
  return magic == kMagic ? Status() : damaged(0, "it does not begin as a backup does");
}

Result<Frame> FrameReader::read(uint64_t offset, uint64_t number, std::string* hash) const {
  Frame frame;
  frame.offset = offset;
  frame.number = number;
  const uint64_t size = source_->size();
  if (offset > size || size - offset < kFrameHead + kHashSize) return damaged(size, "it ends");
  std::string head(kFrameHead, '\0');
  if (Status status = source_->read(offset, head.data(), head.size()); !status.ok()) return status;
  const uint64_t length = get(head.data() + 1, 4);
  if (!known(head[0])) return damaged(offset, "there is something of a kind that is not known");
  if (length > size - offset - kFrameHead - kHashSize) return damaged(size, "it ends");
  frame.type = static_cast<FrameType>(head[0]);
  frame.payload.resize(length);
  Status status = source_->read(offset + kFrameHead, frame.payload.data(), length);
  if (!status.ok()) return status;
  if (hash == nullptr) return frame;
  std::string stored(kHashSize, '\0');
  status = source_->read(offset + kFrameHead + length, stored.data(), stored.size());
  if (!status.ok()) return status;
  *hash = chained(*hash, head, frame.payload);
  if (*hash != stored) return damaged(offset, "the hash of what follows is another");
  return frame;
}

Status FrameReader::footer() const {
  std::string bytes(kFooter, '\0');
  if (source_->size() - offset_ != kFooter) return damaged(offset_, "it does not end as it should");
  if (Status status = source_->read(offset_, bytes.data(), bytes.size()); !status.ok()) {
    return status;
  }
  return get(bytes.data(), kFooter) == last_ ? Status()
                                             : damaged(offset_, "it does not end as it should");
}

Result<std::optional<Frame>> FrameReader::next() {
  if (!begun_) {
    if (Status status = magic(); !status.ok()) return status;
    offset_ = kMagic.size();
    begun_ = true;
  }
  if (ended_) {
    if (Status status = footer(); !status.ok()) return status;
    return std::optional<Frame>();
  }
  Result<Frame> frame = read(offset_, number_, &hash_);
  if (!frame.ok()) return frame.status();
  if ((number_ == 0) != (frame->type == FrameType::kHeader)) {
    return damaged(offset_, "there is no header where it should be");
  }
  ended_ = frame->type == FrameType::kTrailer;
  last_ = offset_;
  offset_ += kFrameHead + frame->payload.size() + kHashSize;
  ++number_;
  return std::optional<Frame>(std::move(*frame));
}

Result<Frame> FrameReader::at(uint64_t offset, uint64_t number) const {
  return read(offset, number, nullptr);
}

Result<std::string> FrameReader::trailer() const {
  const uint64_t size = source_->size();
  if (size < kMagic.size() + kFooter) return damaged(size, "it ends");
  std::string bytes(kFooter, '\0');
  Status status = source_->read(size - kFooter, bytes.data(), bytes.size());
  if (!status.ok()) return status;
  Result<Frame> frame = read(get(bytes.data(), kFooter), 0, nullptr);
  if (!frame.ok()) return frame.status();
  if (frame->type != FrameType::kTrailer) return damaged(size, "it ends without a trailer");
  return std::move(frame->payload);
}

}  // namespace imctl::backup
