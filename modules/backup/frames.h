// A backup file's outermost layer: a magic, then frames, then where the trailer is. Each frame ends
// with a hash of itself and of the hash before it, so the last one is of the whole file.
// docs/backup-format.md has it byte by byte.
#ifndef IMCTL_BACKUP_FRAMES_H
#define IMCTL_BACKUP_FRAMES_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "imctl/status.h"
#include "source.h"

namespace imctl::backup {

inline constexpr std::string_view kMagic = "IMCTL-BACKUP\r\n\x1a\n";
inline constexpr size_t kHashSize = 32;
inline constexpr size_t kFrameHead = 5;  // type, length
inline constexpr size_t kFooter = 8;

enum class FrameType : char { kHeader = 'H', kBlock = 'B', kIndex = 'I', kTrailer = 'T' };

// BLAKE2b, 32 bytes.
std::string hash_of(std::string_view bytes);

// Puts frames behind one another. It keeps nothing but a hash.
class FrameWriter {
 public:
  // Appends the magic to `out`.
  explicit FrameWriter(std::string* out);
  void add(FrameType type, std::string_view payload, std::string* out);
  // After the trailer, which is the last frame.
  void end(std::string* out) const;

  uint64_t number() const { return number_; }  // of the next frame
  uint64_t offset() const { return offset_; }  // of it
  const std::string& hash() const { return hash_; }

 private:
  std::string hash_;
  uint64_t number_ = 0;
  uint64_t offset_ = 0;
  uint64_t last_ = 0;  // offset of the last frame
};

struct Frame {
  FrameType type{};
  uint64_t number = 0;
  uint64_t offset = 0;
  std::string payload;
};

// Reads them one after the other and checks all that it reads. DATA_LOSS names the file and the
// byte.
class FrameReader {
 public:
  FrameReader(std::shared_ptr<Source> source, std::string name);

  // Nothing after the trailer, when the file ends as it should.
  Result<std::optional<Frame>> next();
  // The frame that begins there, by itself: its hash is not looked at.
  Result<Frame> at(uint64_t offset, uint64_t number) const;
  // The trailer's payload, as the file's end says where it is, by itself.
  Result<std::string> trailer() const;

  const std::string& hash() const { return hash_; }  // of all that was read
  uint64_t offset() const { return offset_; }
  uint64_t size() const { return source_->size(); }
  const std::string& name() const { return name_; }
  Status damaged(uint64_t offset, const std::string& why) const;

 private:
  Status magic() const;
  Result<Frame> read(uint64_t offset, uint64_t number, std::string* hash) const;
  Status footer() const;

  const std::shared_ptr<Source> source_;
  const std::string name_;
  std::string hash_;
  uint64_t number_ = 0;
  uint64_t offset_ = 0;
  uint64_t last_ = 0;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_FRAMES_H
