// Files that are there whole or not at all. Blocks.
#ifndef IMCTL_BACKUP_DISK_H
#define IMCTL_BACKUP_DISK_H

#include <memory>
#include <string>
#include <string_view>

#include "imctl/status.h"
#include "source.h"

namespace imctl::backup {

// RESOURCE_EXHAUSTED if there is no space, else NOT_FOUND, ALREADY_EXISTS or FAILED_PRECONDITION.
Status disk_error(const std::string& path, int error);

Status make_folder(const std::string& path);
Status remove_file(const std::string& path);  // with its entry in the folder, for good

// A file that gets its name when it is complete and on the disk. Destroyed before that, nothing is
// left; killed before that, remove_unfinished() removes what is.
class NewFile {
 public:
  // `path` must not be there.
  static Result<std::unique_ptr<NewFile>> create(const std::string& path);
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile();
  Status write(std::string_view bytes);
  // ALREADY_EXISTS if somebody else took the name meanwhile.
  Status commit();

 private:
  NewFile(int fd, std::string temporary, std::string path);
  const int fd_;
  const std::string temporary_;
  const std::string path_;
  bool committed_ = false;
};

// In a folder, what processes left that are gone.
void remove_unfinished(const std::string& folder);

// A file without a name, to put something by: it is gone when it is closed.
class Scratch {
 public:
  static Result<std::unique_ptr<Scratch>> create(const std::string& folder);
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();
  Status write(std::string_view bytes);
  // All that was written so far.
  Result<std::shared_ptr<Source>> read() const;
  uint64_t size() const { return size_; }

 private:
  explicit Scratch(int fd) : fd_(fd) {}
  const int fd_;
  uint64_t size_ = 0;
};

// A small file as a whole. NOT_FOUND if it is not there.
Result<std::string> read_small(const std::string& path);
Status replace_small(const std::string& path, std::string_view bytes);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_DISK_H
