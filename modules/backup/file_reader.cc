#include "file_reader.h"

#include <utility>

#include "records.h"

namespace imctl::backup {
namespace {

constexpr uint32_t kFormat = 1;
// More than a writer puts into one: a block's size is believed only so far.
constexpr uint64_t kMaxBlock = uint64_t{1} << 31U;

}  // namespace

FileReader::FileReader(std::shared_ptr<Source> source, const std::string& name)
    : source_(std::move(source)),
      frames_(std::make_unique<FrameReader>(source_, name)),
      context_(ZSTD_createDCtx()) {}

Result<std::unique_ptr<FileReader>> FileReader::open(std::shared_ptr<Source> source,
                                                     const std::string& name) {
  std::unique_ptr<FileReader> reader(new FileReader(std::move(source), name));
  if (Status status = reader->read_header(); !status.ok()) return status;
  return reader;
}

Status FileReader::read_header() {
  Result<std::optional<Frame>> frame = frames_->next();
  if (!frame.ok()) return frame.status();
  v1::FileHeader header;
  if (!header.ParseFromString((*frame)->payload)) {
    return frames_->damaged((*frame)->offset, "the header cannot be read");
  }
  if (header.format() != kFormat) {
    return {IMCTL_FAILED_PRECONDITION, name() + " is of format " + std::to_string(header.format()) +
                                           ", made by imctl " + header.imctl_version() +
                                           "; this one reads format " + std::to_string(kFormat) +
                                           ": use the version that made it, or a newer one"};
  }
  header_ = std::move(header);
  return {};
}

Result<v1::FileTrailer> FileReader::peek_trailer() const {
  Result<std::string> bytes = frames_->trailer();
  if (!bytes.ok()) return bytes.status();
  v1::FileTrailer trailer;
  if (!trailer.ParseFromString(*bytes)) {
    return frames_->damaged(size(), "the trailer cannot be read");
  }
  return trailer;
}

Status FileReader::unlock(const std::string& secret_key) {
  if (!header_.has_encryption()) return {};
  Result<Seal> seal = Seal::open(header_.encryption(), secret_key);
  if (!seal.ok()) return seal.status();
  seal_.emplace(std::move(*seal));
  return {};
}

void FileReader::rewind() {
  frames_ = std::make_unique<FrameReader>(source_, std::string(name()));
  (void)frames_->next();
  index_.Clear();
  blocks_ = records_ = bytes_ = 0;
  index_read_ = false;
}

template <class Message>
Status FileReader::parse(const Frame& frame, Message* to) const {
  bool good = false;
  if (header_.has_encryption()) {
    const std::optional<std::string> plain = seal_->open(frame.payload, frame.number);
    good = plain && to->ParseFromString(*plain);
  } else {
    good = to->ParseFromString(frame.payload);
  }
  return good ? Status() : frames_->damaged(frame.offset, "what follows cannot be read");
}

Result<ReadBlock> FileReader::block(const Frame& frame) const {
  ReadBlock read;
  read.offset = frame.offset;
  read.number = frame.number;
  if (locked()) return read;
  v1::Block block;
  if (Status status = parse(frame, &block); !status.ok()) return status;
  if (block.size() > kMaxBlock || block.digest().size() != kHashSize) {
    return frames_->damaged(frame.offset, "what follows is no block");
  }
  read.kind = block.kind();
  read.records = block.records();
  read.digest = block.digest();
  read.size = block.size();
  if (!block.has_data()) return read;
  if (ZSTD_getFrameContentSize(block.data().data(), block.data().size()) != block.size()) {
    return frames_->damaged(frame.offset, "what follows has another size");
  }
  std::string bytes(block.size(), '\0');
  const size_t size = ZSTD_decompressDCtx(context_.get(), bytes.data(), bytes.size(),
                                          block.data().data(), block.data().size());
  if (ZSTD_isError(size) != 0 || size != bytes.size() || hash_of(bytes) != read.digest) {
    return frames_->damaged(frame.offset, "what follows is not what was written");
  }
  read.bytes = std::move(bytes);
  return read;
}

Status FileReader::check_index(const Frame& frame) const {
  if (locked()) return {};
  v1::FileIndex index;
  if (Status status = parse(frame, &index); !status.ok()) return status;
  if (index.SerializeAsString() == index_.SerializeAsString()) return {};
  return frames_->damaged(frame.offset, "the index is not that of the file");
}

Status FileReader::check_trailer(const Frame& frame) {
  v1::FileTrailer trailer;
  if (!trailer.ParseFromString(frame.payload)) {
    return frames_->damaged(frame.offset, "the trailer cannot be read");
  }
  const bool good =
      index_read_ && trailer.blocks() == blocks_ &&
      (locked() || (trailer.own_blocks() == static_cast<uint64_t>(index_.blocks_size()) &&
                    trailer.size() == bytes_ &&
                    sum(trailer.stored()) + trailer.settings() + trailer.modules() == records_));
  if (!good) return frames_->damaged(frame.offset, "the counts are not those of the file");
  trailer_ = std::move(trailer);
  return {};
}

Result<std::optional<ReadBlock>> FileReader::next() {
  for (;;) {
    Result<std::optional<Frame>> frame = frames_->next();
    if (!frame.ok()) return frame.status();
    if (!*frame) return std::optional<ReadBlock>();
    Status status;
    switch ((*frame)->type) {
      case FrameType::kHeader: break;
      case FrameType::kBlock: {
        if (index_read_) return frames_->damaged((*frame)->offset, "a block follows the index");
        Result<ReadBlock> read = block(**frame);
        if (!read.ok()) return read.status();
        ++blocks_;
        records_ += read->records;
        bytes_ += read->size;
        if (read->bytes) {
          v1::IndexedBlock* entry = index_.add_blocks();
          entry->set_digest(read->digest);
          entry->set_offset(read->offset);
          entry->set_number(read->number);
        }
        return std::optional<ReadBlock>(std::move(*read));
      }
      case FrameType::kIndex:
        status = check_index(**frame);
        index_read_ = true;
        break;
      case FrameType::kTrailer: status = check_trailer(**frame); break;
    }
    if (!status.ok()) return status;
  }
}

Result<ReadBlock> FileReader::at(uint64_t offset, uint64_t number) const {
  Result<Frame> frame = frames_->at(offset, number);
  if (!frame.ok()) return frame.status();
  if (frame->type != FrameType::kBlock) return frames_->damaged(offset, "there is no block");
  return block(*frame);
}

}  // namespace imctl::backup
