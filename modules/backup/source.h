// Where a backup file is read from. Blocks.
#ifndef IMCTL_BACKUP_SOURCE_H
#define IMCTL_BACKUP_SOURCE_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "imctl/status.h"

namespace imctl::backup {

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;
  virtual uint64_t size() const = 0;
  // All of it, or an error.
  virtual Status read(uint64_t offset, char* to, size_t count) const = 0;
};

Result<std::shared_ptr<Source>> open_file(const std::string& path);
std::shared_ptr<Source> memory_source(std::string bytes);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_SOURCE_H
