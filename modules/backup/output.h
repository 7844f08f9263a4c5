// Where a backup file goes: into a folder or a file, to a command, to the caller.
#ifndef IMCTL_BACKUP_OUTPUT_H
#define IMCTL_BACKUP_OUTPUT_H

#include <memory>
#include <string>

#include "imctl/backup/v1/backups.pb.h"
#include "imctl/backup/v1/format.pb.h"
#include "imctl/sdk.h"

namespace imctl::backup {

// Destroyed without commit(), nothing is left of it.
class Output {
 public:
  Output() = default;
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  virtual ~Output() = default;
  // Takes the bytes; they may be kept on the disk of this machine, or be on their way.
  virtual Task<Status> write(std::string bytes) = 0;
  // All of it is written: it is kept.
  virtual Task<Status> commit() = 0;
  // The file's name, for those who look for it.
  virtual std::string name() const { return {}; }
};

// A file in a folder, or a file of that name, by its absolute path. Blocks.
Result<std::unique_ptr<Output>> file_output(const std::string& to, const v1::FileHeader& header);
// The standard input of a shell's command, which has the file's name in IMCTL_BACKUP_NAME. Blocks.
Result<std::unique_ptr<Output>> command_output(const std::string& command,
                                               const v1::FileHeader& header);
// The caller.
std::unique_ptr<Output> stream_output(imctl::Writer<v1::CreateBackupResponse>* writer);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_OUTPUT_H
