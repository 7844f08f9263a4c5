// Makes a backup file of the records that it is given. What it makes goes to a string, which the
// caller empties: into a file, a pipe, a stream.
#ifndef IMCTL_BACKUP_FILE_WRITER_H
#define IMCTL_BACKUP_FILE_WRITER_H

#include <zstd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "frames.h"
#include "imctl/backup/v1/format.pb.h"
#include "imctl/status.h"
#include "records.h"
#include "seal.h"

namespace imctl::backup {

// Where blocks end. Large ones, since what is alike in two blocks is in the file twice; but some of
// them are in memory at a time, and whatever changed, a whole block is in the next incremental
// backup.
struct BlockSizes {
  // Beyond this a block ends after a record that says so itself: after about so many bytes more. So
  // blocks of what did not change are the same in the next backup, wherever it changed before them.
  size_t least = size_t{2} << 20U;
  size_t about = size_t{2} << 20U;
  size_t most = size_t{8} << 20U;
};

class FileWriter {
 public:
  struct Options {
    int level = 1;
    std::string public_key;  // empty: not encrypted
    BlockSizes sizes{};
    // Digests of blocks that the ones that it stands on have.
    std::unordered_set<std::string> known;
  };

  // `header`: id, format and encryption are set here. `out` must outlive it.
  FileWriter(v1::FileHeader header, Options options, std::string* out);

  // Records of a dump; `begin` and `end` are left out of the file. DATA_LOSS: it is none.
  Status add_dump(std::string_view chunk);
  // Did the dump come to its end, with the counts that it says?
  Status dump_ended() const;
  Status add(v1::BlockKind kind, const google::protobuf::MessageLite& record);
  // The rest of the file.
  Status finish();

  const v1::FileHeader& header() const { return header_; }
  const v1::FileTrailer& trailer() const { return trailer_; }  // what is counted so far
  // After finish: of the whole file, and the digests of its own blocks.
  const std::string& hash() const { return frames_->hash(); }
  const v1::FileIndex& index() const { return index_; }
  uint64_t file_size() const { return frames_->offset() + (finished_ ? kFooter : 0); }

 private:
  struct FreeContext {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };

  Status append(v1::BlockKind kind, std::string_view whole, std::string_view record);
  Status end_block();
  Status add_frame(FrameType type, const google::protobuf::MessageLite& content);

  v1::FileHeader header_;
  const Options options_;
  std::string* const out_;
  std::optional<Seal> seal_;
  std::unique_ptr<FrameWriter> frames_;
  const std::unique_ptr<ZSTD_CCtx, FreeContext> context_;
  v1::FileTrailer trailer_;
  v1::FileIndex index_;
  std::unordered_set<std::string> own_;
  // The block that is being filled.
  v1::BlockKind kind_ = v1::BLOCK_KIND_UNSPECIFIED;
  std::string block_;
  std::string compressed_;  // room that is used again
  uint64_t records_ = 0;
  // Of the dump.
  bool begun_ = false;
  std::optional<storage::v1::SnapshotEnd> end_;
  bool finished_ = false;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_FILE_WRITER_H
