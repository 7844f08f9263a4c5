// The files of the audit log: one after another, each named after the sequence of its first line.
#ifndef IMCTL_HOST_CORE_AUDIT_FILES_H
#define IMCTL_HOST_CORE_AUDIT_FILES_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/audit_record.h"
#include "imctl/status.h"

namespace imctl::host {

struct AuditOptions {
  size_t file_size = size_t{16} << 20;  // when another is begun
  uint32_t files = 30;                  // how many are kept

  bool operator==(const AuditOptions&) const = default;
};

// "audit-00000000000000000001.jsonl".
std::string audit_file_name(uint64_t first);
// The first sequences of those in the folder, in order. One that is not there has none.
std::vector<uint64_t> list_audit_files(const std::string& folder);

// Closed when the last of those who hold it lets go.
class AuditFd {
 public:
  explicit AuditFd(int fd) : fd_(fd) {}
  AuditFd(const AuditFd&) = delete;
  AuditFd& operator=(const AuditFd&) = delete;
  ~AuditFd();
  int get() const { return fd_; }

 private:
  const int fd_;
};

// Appends lines. One writer a folder, one thread at a time.
class AuditWriter {
 public:
  explicit AuditWriter(std::string folder) : folder_(std::move(folder)) {}

  // What was found at the end of the files.
  struct End {
    uint64_t sequence = 0;  // of the last line; 0: there is none
    std::string hash = kNoAuditLine;
    std::string kind;  // of the last record
    // Bytes after it that are no whole line, as a crash leaves them, and the file where they are
    // now.
    size_t torn = 0;
    std::string torn_file;
  };
  // Makes the folder and finds the end.
  Result<End> open();

  // Appends one line with one write(2). After an error nothing of it is there.
  Status append(std::string_view line, uint64_t sequence, const AuditOptions& options);

  // Where lines were appended; for fdatasync(2), also beside what is done here. nullptr: nowhere
  // yet.
  std::shared_ptr<AuditFd> file() const { return file_; }

 private:
  Result<bool> find_end(uint64_t first, End* end);
  Status put_aside(uint64_t first, std::string_view bytes, size_t at, End* end);
  Status begin(uint64_t first, const AuditOptions& options);
  Status mend();
  std::string path(uint64_t first) const { return folder_ + "/" + audit_file_name(first); }

  const std::string folder_;
  std::shared_ptr<AuditFd> file_;
  std::string name_;
  size_t size_ = 0;
  bool ragged_ = false;  // behind size_ may be a part of a line
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_AUDIT_FILES_H
