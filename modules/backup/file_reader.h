// Reads one backup file, checking all that it reads. What it gives is what the writer wrote, or
// there is an error; it never gives what was damaged.
#ifndef IMCTL_BACKUP_FILE_READER_H
#define IMCTL_BACKUP_FILE_READER_H

#include <zstd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "frames.h"
#include "imctl/backup/v1/format.pb.h"
#include "imctl/status.h"
#include "seal.h"
#include "source.h"

namespace imctl::backup {

// A block's records, or where they are.
struct ReadBlock {
  v1::BlockKind kind = v1::BLOCK_KIND_UNSPECIFIED;
  uint64_t records = 0;
  std::string digest;
  uint64_t size = 0;
  std::optional<std::string> bytes;  // absent: the block is elsewhere, under the digest
  uint64_t offset = 0;               // of its frame
  uint64_t number = 0;
};

class FileReader {
 public:
  // Reads the header. DATA_LOSS, or FAILED_PRECONDITION for a format that is not known.
  static Result<std::unique_ptr<FileReader>> open(std::shared_ptr<Source> source,
                                                  const std::string& name);

  const v1::FileHeader& header() const { return header_; }
  // The trailer as the file's end has it, without reading all of it.
  Result<v1::FileTrailer> peek_trailer() const;

  // For an encrypted file, before next().
  Status unlock(const std::string& secret_key);
  bool locked() const { return header_.has_encryption() && !seal_; }

  // The next block; nothing at the end, when all of it was good. Of a locked file the blocks are
  // without content.
  Result<std::optional<ReadBlock>> next();
  // From the first block again.
  void rewind();
  // A block that next() gave, once more.
  Result<ReadBlock> at(uint64_t offset, uint64_t number) const;

  // After the end:
  const v1::FileTrailer& trailer() const { return trailer_; }
  const std::string& hash() const { return frames_->hash(); }

  uint64_t read() const { return frames_->offset(); }  // bytes of the file
  uint64_t size() const { return frames_->size(); }
  const std::string& name() const { return frames_->name(); }

 private:
  struct FreeContext {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  FileReader(std::shared_ptr<Source> source, const std::string& name);
  Status read_header();
  Result<ReadBlock> block(const Frame& frame) const;
  Status check_index(const Frame& frame) const;
  Status check_trailer(const Frame& frame);
  template <class Message>
  Status parse(const Frame& frame, Message* to) const;

  const std::shared_ptr<Source> source_;
  std::unique_ptr<FrameReader> frames_;
  const std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
  v1::FileHeader header_;
  v1::FileTrailer trailer_;
  std::optional<Seal> seal_;
  // Of what was read since the beginning.
  v1::FileIndex index_;
  uint64_t blocks_ = 0;
  uint64_t records_ = 0;
  uint64_t bytes_ = 0;
  bool index_read_ = false;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_FILE_READER_H
