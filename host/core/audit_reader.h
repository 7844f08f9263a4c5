// Reads the audit log line by line, beside who writes it.
#ifndef IMCTL_HOST_CORE_AUDIT_READER_H
#define IMCTL_HOST_CORE_AUDIT_READER_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/audit_files.h"
#include "core/audit_record.h"
#include "imctl/status.h"

namespace imctl::host {

// A line, by its file and where it begins there.
struct AuditPlace {
  uint64_t file = 0;
  size_t offset = 0;
};

class AuditReader {
 public:
  // From `from` on; a file that is not there any more: from the oldest that is newer.
  explicit AuditReader(std::string folder, AuditPlace from = {});

  // The next line; `line` holds until the next call. False: there is no more yet. A line without an
  // end, or longer than kMaxAuditLine, is given in parts if a newer file follows or nothing else
  // could be; read_link() knows that they are none.
  Result<bool> next(std::string_view* line);

  // Of the line that next() gave, and of the one that comes next.
  AuditPlace place() const { return place_; }
  AuditPlace after() const { return {file_, offset_}; }
  // The number of that line in its file, from 1; counted if the file was read from its start.
  uint64_t line_number() const { return lines_; }
  // Bytes behind the last line that are none yet.
  size_t rest() const { return buffer_.size() - used_; }
  // Files that were begun.
  uint64_t files() const { return files_; }

 private:
  Status open(uint64_t file, size_t offset);
  Result<size_t> fill();

  const std::string folder_;
  std::unique_ptr<AuditFd> fd_;
  uint64_t file_ = 0;
  size_t offset_ = 0;  // of the first byte of buffer_ that was not given
  std::string buffer_;
  size_t used_ = 0;
  AuditPlace place_;
  uint64_t lines_ = 0;
  uint64_t files_ = 0;
};

// One place of the chain.
struct AuditHead {
  uint64_t sequence = 0;
  std::string hash;

  // "SEQ:HASH".
  std::string text() const { return std::to_string(sequence) + ":" + hash; }
  static Result<AuditHead> parse(const std::string& text);
};

struct AuditCheck {
  uint64_t records = 0;
  uint64_t files = 0;
  uint64_t first = 0;  // sequence
  std::string anchor;  // `prev` of the first
  AuditHead head;      // of the last
  uint64_t torn = 0;   // records which say that a crash left a torn line
  uint64_t lost = 0;   // that could not be written, as records say
};

// Walks the whole chain. What is behind the last line and no line counts only if nothing is
// expected: else a host may be about to write it. DATA_LOSS: where it breaks, as FILE:LINE, or
// which of `expected` is not in it. FAILED_PRECONDITION: one of `expected` is older than all that
// is kept.
Result<AuditCheck> verify_audit(const std::string& folder, const std::vector<AuditHead>& expected);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_AUDIT_READER_H
