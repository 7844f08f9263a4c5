// Tars of files to import, and of those that are exported.
#ifndef IMCTL_BACKUP_TAR_H
#define IMCTL_BACKUP_TAR_H

#include <memory>
#include <string>
#include <vector>

#include "disk.h"
#include "xml_reader.h"

namespace imctl::backup {

// Is it a tar, maybe compressed?
bool is_tar(const Source& source);
// The regular files in it, their contents put by in `scratch`, which must outlive them. Blocks.
Result<std::vector<ImportFile>> read_tar(const Source& source, Scratch* scratch);

// Makes one. What is written goes to a string, which the caller empties.
class TarWriter {
 public:
  explicit TarWriter(std::string* out);
  ~TarWriter();
  TarWriter(const TarWriter&) = delete;
  TarWriter& operator=(const TarWriter&) = delete;
  void begin_file(const std::string& name, uint64_t size);
  void write(const std::string& bytes);
  void end();

 private:
  struct Archive;
  const std::unique_ptr<Archive> archive_;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_TAR_H
