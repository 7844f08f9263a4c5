// The backups in a folder, known by their ids. Blocks.
#ifndef IMCTL_BACKUP_FOLDER_H
#define IMCTL_BACKUP_FOLDER_H

#include <memory>
#include <string>
#include <vector>

#include "chain.h"
#include "file_reader.h"
#include "imctl/backup/v1/backups.pb.h"
#include "imctl/status.h"

namespace imctl::backup {

class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  // imctl-20260102T030405Z-0123456789ab.imctl
  static std::string file_name(const v1::FileHeader& header);

  // By time, the oldest first. A file that cannot be read is in it, with its `problem`.
  Result<std::vector<v1::Backup>> list() const;
  // Of an id, the first digits of one, or "last". NOT_FOUND, or INVALID_ARGUMENT if several begin
  // so.
  Result<v1::Backup> find(const std::string& name) const;
  // The file of a whole id.
  Result<std::unique_ptr<FileReader>> open(const std::string& id) const;
  // For Chain::open.
  Chain::Find finder() const;
  // Those that stand on it, directly and not.
  Result<std::vector<v1::Backup>> dependents(const std::string& id) const;
  Status remove(const v1::Backup& backup) const;

 private:
  const std::string path_;
};

// What a file says of itself.
v1::Backup describe(const FileReader& file);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_FOLDER_H
