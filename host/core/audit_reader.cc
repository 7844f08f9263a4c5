#include "core/audit_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace imctl::host {
namespace {

constexpr size_t kBlock = size_t{64} << 10;

Status unreadable(const std::string& path, int error) {
  return {IMCTL_FAILED_PRECONDITION, path + ": " + std::strerror(error)};
}

// The first that is newer than `file`; 0: none.
uint64_t newer(const std::string& folder, uint64_t file) {
  const std::vector<uint64_t> files = list_audit_files(folder);
  const auto at = std::upper_bound(files.begin(), files.end(), file);
  return at == files.end() ? 0 : *at;
}

}  // namespace

AuditReader::AuditReader(std::string folder, AuditPlace from) : folder_(std::move(folder)) {
  if (from.file != 0 && open(from.file, from.offset).ok()) return;
  file_ = from.file;
}

Status AuditReader::open(uint64_t file, size_t offset) {
  const std::string path = folder_ + "/" + audit_file_name(file);
  auto fd = std::make_unique<AuditFd>(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd->get() < 0) {
    return errno == ENOENT ? Status(IMCTL_NOT_FOUND, path) : unreadable(path, errno);
  }
  fd_ = std::move(fd);
  file_ = file;
  offset_ = offset;
  buffer_.clear();
  used_ = 0;
  lines_ = 0;
  ++files_;
  return {};
}

// More bytes behind those that were not given yet; 0: there are none now.
Result<size_t> AuditReader::fill() {
  buffer_.erase(0, std::exchange(used_, 0));
  const size_t had = buffer_.size();
  buffer_.resize(had + kBlock);
  ssize_t n = 0;
  do {
    n = ::pread(fd_->get(), buffer_.data() + had, kBlock, static_cast<off_t>(offset_ + had));
  } while (n < 0 && errno == EINTR);
  const int error = errno;
  buffer_.resize(had + static_cast<size_t>(std::max<ssize_t>(n, 0)));
  if (n < 0) return unreadable(folder_ + "/" + audit_file_name(file_), error);
  return static_cast<size_t>(n);
}

Result<bool> AuditReader::next(std::string_view* line) {
  uint64_t follower = 0;
  for (;;) {
    if (fd_ == nullptr || follower != 0) {
      const uint64_t file = fd_ == nullptr ? newer(folder_, file_) : follower;
      if (file == 0) return false;
      Status status = open(file, 0);
      // It went while it was looked for: the next one.
      if (status.code() == IMCTL_NOT_FOUND) {
        fd_.reset();
        file_ = file;
        continue;
      }
      if (!status.ok()) return status;
      follower = 0;
    }
    const std::string_view rest = std::string_view(buffer_).substr(used_);
    const size_t end = rest.find('\n');
    if (end != std::string_view::npos || rest.size() > kMaxAuditLine) {
      *line = rest.substr(0, end);
      place_ = {file_, offset_};
      const size_t taken = end == std::string_view::npos ? rest.size() : end + 1;
      used_ += taken;
      offset_ += taken;
      ++lines_;
      return true;
    }
    // Who writes is done with a file before another is begun: look for that one first.
    const uint64_t then = newer(folder_, file_);
    Result<size_t> more = fill();
    if (!more.ok()) return more.status();
    if (*more > 0) continue;
    if (then == 0) return false;
    if (!buffer_.empty()) {
      // A part of a line that nobody will complete.
      *line = buffer_;
      place_ = {file_, offset_};
      used_ = buffer_.size();
      offset_ += buffer_.size();
      ++lines_;
      return true;
    }
    follower = then;
  }
}

Result<AuditHead> AuditHead::parse(const std::string& text) {
  constexpr size_t kDigits = 64;
  AuditHead head;
  const size_t colon = std::min(text.find(':'), text.size());
  const auto [end, error] = std::from_chars(text.data(), text.data() + colon, head.sequence);
  head.hash = text.substr(std::min(colon + 1, text.size()));
  if (error == std::errc() && end == text.data() + colon && colon < text.size() &&
      head.sequence > 0 && head.hash.size() == kDigits &&
      head.hash.find_first_not_of("0123456789abcdef") == std::string::npos) {
    return head;
  }
  return Status(IMCTL_INVALID_ARGUMENT,
                "expect: is not SEQ:HASH, a head as `imctl audit verify` prints it");
}

namespace {

Result<AuditCheck> walk(const std::string& folder, const std::vector<AuditHead>& expected) {
  AuditReader reader(folder);
  AuditCheck check;
  std::vector<bool> met(expected.size(), false);
  auto broken = [&reader](const std::string& why) {
    return Status(IMCTL_DATA_LOSS, audit_file_name(reader.place().file) + ":" +
                                       std::to_string(reader.line_number()) + ": " + why);
  };
  auto differs = [](const AuditHead& head) {
    return Status(IMCTL_DATA_LOSS,
                  "record " + std::to_string(head.sequence) +
                      " is not the one that was expected: the chain was written anew");
  };
  for (;;) {
    std::string_view line;
    Result<bool> more = reader.next(&line);
    if (!more.ok()) return more.status();
    if (!*more) break;
    std::optional<AuditLink> link = read_link(line);
    if (!link) return broken("the line was changed, or is not whole");
    const bool first = check.records == 0;
    if (first) {
      check.first = link->sequence;
      check.anchor = link->prev;
      if (link->sequence == 1 && link->prev != kNoAuditLine) {
        return broken("the first record of all follows another: the chain was changed");
      }
    } else if (link->prev != check.head.hash || link->sequence != check.head.sequence + 1) {
      return broken("it does not follow record " + std::to_string(check.head.sequence) +
                    ": a record between was changed, removed or put in");
    }
    if (reader.line_number() == 1 && reader.place().file != link->sequence) {
      return broken("the file is not named after its first record");
    }
    check.head = {link->sequence, link->hash};
    ++check.records;
    for (size_t i = 0; i < expected.size(); ++i) {
      // The one before the oldest is known by its hash alone.
      const AuditHead& head = expected[i];
      if (first && head.sequence + 1 == link->sequence) {
        if (head.hash != link->prev) return differs(head);
        met[i] = true;
      }
      if (head.sequence != link->sequence) continue;
      if (head.hash != link->hash) return differs(head);
      met[i] = true;
    }
    // Only these two say something that counts here.
    if (line.find("\"kind\":\"torn\"") != std::string_view::npos ||
        line.find("\"kind\":\"lost\"") != std::string_view::npos) {
      Result<AuditRecord> record = read_record(line);
      if (record.ok() && record->kind == AuditRecord::kTorn) ++check.torn;
      if (record.ok() && record->kind == AuditRecord::kLost) check.lost += record->count;
    }
  }
  check.files = reader.files();
  if (reader.rest() > 0 && expected.empty()) {
    return Status(IMCTL_DATA_LOSS, audit_file_name(reader.after().file) + ": behind record " +
                                       std::to_string(check.head.sequence) + " are " +
                                       std::to_string(reader.rest()) +
                                       " bytes that are no whole line");
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    if (met[i]) continue;
    const std::string number = std::to_string(expected[i].sequence);
    if (check.records > 0 && expected[i].sequence < check.first) {
      return Status(IMCTL_FAILED_PRECONDITION,
                    "record " + number +
                        " is older than all that are kept, of which the first is " +
                        std::to_string(check.first) + ": expect a newer one");
    }
    return Status(IMCTL_DATA_LOSS, "record " + number + " is missing: the log ends with record " +
                                       std::to_string(check.head.sequence) +
                                       ", so its end was cut off");
  }
  return check;
}

// What a crash leaves is a part of a line. Whole records that were put aside with it were changed,
// or the disk lost what was before them.
Status look_aside(const std::string& folder) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with("torn-")) continue;
    std::ifstream file(at->path());
    for (std::string line; std::getline(file, line) && !file.eof();) {
      if (!line.starts_with("{\"seq\":")) continue;
      return {IMCTL_DATA_LOSS,
              name +
                  ": holds a whole record that did not fit into the chain when the host started, "
                  "so it was changed: look at it, and move the file away when you have"};
    }
  }
  return {};
}

}  // namespace

Result<AuditCheck> verify_audit(const std::string& folder, const std::vector<AuditHead>& expected) {
  constexpr int kTries = 5;
  for (int i = 1;; ++i) {
    const std::vector<uint64_t> before = list_audit_files(folder);
    Result<AuditCheck> check = walk(folder, expected);
    if (check.ok()) {
      Status aside = look_aside(folder);
      if (!aside.ok()) return aside;
    }
    if (check.ok() || i == kTries) return check;
    // A host that writes may have removed the oldest files under our eyes.
    const std::vector<uint64_t> after = list_audit_files(folder);
    if (before.empty() || after.empty() || before.front() == after.front()) return check;
  }
}

}  // namespace imctl::host
