// A .tar.gz in memory, of a few small files.
#ifndef IMCTL_HOST_CORE_ARCHIVE_H
#define IMCTL_HOST_CORE_ARCHIVE_H

#include <chrono>
#include <string>
#include <string_view>

#include "imctl/status.h"

namespace imctl::host {

// Not for use from several threads.
class Archive {
 public:
  // All files have that time.
  explicit Archive(std::chrono::system_clock::time_point time);

  // `path`: relative, of at most 100 bytes.
  void add(std::string_view path, std::string_view content);
  // What was added so far, whole. INTERNAL if it cannot be compressed.
  Result<std::string> finish() const;

 private:
  const long long time_;
  std::string tar_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_ARCHIVE_H
