#include "core/audit_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace imctl::host {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBefore = "audit-";
constexpr std::string_view kAfter = ".jsonl";
constexpr size_t kNumber = 20;

Status failed(const std::string& path, int error) {
  return {error == ENOSPC || error == EDQUOT || error == EFBIG ? IMCTL_RESOURCE_EXHAUSTED
                                                               : IMCTL_FAILED_PRECONDITION,
          path + ": " + std::strerror(error)};
}

Status sync_folder(const std::string& folder) {
  AuditFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || ::fsync(fd.get()) != 0) return failed(folder, errno);
  return {};
}

Status write_all(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(path, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<std::string> read_from(int fd, const std::string& path, size_t from, size_t size) {
  std::string bytes(size, '\0');
  for (size_t done = 0; done < size;) {
    const ssize_t n =
        ::pread(fd, bytes.data() + done, size - done, static_cast<off_t>(from + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(path, errno);
    if (n == 0) {
      bytes.resize(done);
      break;
    }
    done += static_cast<size_t>(n);
  }
  return bytes;
}

std::string kind_of(std::string_view line) {
  Result<AuditRecord> record = read_record(line);
  return record.ok() ? record->kind : std::string();
}

}  // namespace

AuditFd::~AuditFd() {
  if (fd_ >= 0) ::close(fd_);
}

std::string audit_file_name(uint64_t first) {
  std::string number = std::to_string(first);
  number.insert(0, kNumber - std::min(kNumber, number.size()), '0');
  return std::string(kBefore) + number + std::string(kAfter);
}

std::vector<uint64_t> list_audit_files(const std::string& folder) {
  std::vector<uint64_t> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    uint64_t first = 0;
    if (name.size() != kBefore.size() + kNumber + kAfter.size()) continue;
    const char* number = name.data() + kBefore.size();
    if (std::from_chars(number, number + kNumber, first).ptr == number + kNumber &&
        name == audit_file_name(first)) {
      files.push_back(first);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

Result<AuditWriter::End> AuditWriter::open() {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return failed(folder_, error.value());
  (void)::chmod(folder_.c_str(), 0700);
  End end;
  std::vector<uint64_t> files = list_audit_files(folder_);
  for (; !files.empty(); files.pop_back()) {
    Result<bool> found = find_end(files.back(), &end);
    if (!found.ok()) return found.status();
    if (*found) break;
    // Not a line in it: a crash came between the file and its first line.
    file_.reset();
    if (::unlink(path(files.back()).c_str()) != 0) return failed(path(files.back()), errno);
  }
  return end;
}

// False: the file has no whole line (any more).
Result<bool> AuditWriter::find_end(uint64_t first, End* end) {
  name_ = path(first);
  file_ = std::make_shared<AuditFd>(::open(name_.c_str(), O_RDWR | O_APPEND | O_CLOEXEC));
  struct stat info {};
  if (file_->get() < 0 || ::fstat(file_->get(), &info) != 0) return failed(name_, errno);
  const auto size = static_cast<size_t>(info.st_size);
  size_ = size;
  // Most often the last line is whole, and all is well.
  size_t from = size - std::min(size, kMaxAuditLine + 1);
  for (;;) {
    Result<std::string> read = read_from(file_->get(), name_, from, size - from);
    if (!read.ok()) return read.status();
    std::string_view bytes = *read;
    // From the end on to the last line that is whole. Lines before it that are not are no crash's:
    // they stay for `audit verify` to find.
    for (size_t stop = bytes.size(); stop > 0;) {
      const size_t line_end = bytes.rfind('\n', stop - 1);
      if (line_end == std::string_view::npos) break;
      const size_t before =
          line_end == 0 ? std::string_view::npos : bytes.rfind('\n', line_end - 1);
      if (before == std::string_view::npos && from > 0) break;  // it may begin further up
      const size_t begin = before == std::string_view::npos ? 0 : before + 1;
      const std::string_view line = bytes.substr(begin, line_end - begin);
      if (std::optional<AuditLink> link = read_link(line)) {
        end->sequence = link->sequence;
        end->hash = link->hash;
        end->kind = kind_of(line);
        if (line_end + 1 < bytes.size()) {
          Status status = put_aside(first, bytes.substr(line_end + 1), from + line_end + 1, end);
          if (!status.ok()) return status;
        }
        return true;
      }
      stop = begin;
    }
    if (from > 0) {
      from = 0;
      continue;
    }
    if (!bytes.empty()) {
      Status status = put_aside(first, bytes, 0, end);
      if (!status.ok()) return status;
    }
    return false;
  }
}

Status AuditWriter::put_aside(uint64_t first, std::string_view bytes, size_t at, End* end) {
  std::string aside = folder_ + "/torn-" + std::to_string(first) + "-" + std::to_string(at);
  AuditFd copy(::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (copy.get() < 0) return failed(aside, errno);
  Status status = write_all(copy.get(), aside, bytes);
  if (status.ok() && ::fsync(copy.get()) != 0) status = failed(aside, errno);
  if (status.ok()) status = sync_folder(folder_);
  if (!status.ok()) return status;
  if (::ftruncate(file_->get(), static_cast<off_t>(at)) != 0) return failed(name_, errno);
  size_ = at;
  end->torn += bytes.size();
  end->torn_file = aside.substr(folder_.size() + 1);
  return {};
}

Status AuditWriter::begin(uint64_t first, const AuditOptions& options) {
  if (file_ != nullptr && ::fsync(file_->get()) != 0) return failed(name_, errno);
  std::string name = path(first);
  const int fd = ::open(name.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return failed(name, errno);
  file_ = std::make_shared<AuditFd>(fd);
  name_ = std::move(name);
  size_ = 0;
  ragged_ = false;
  std::vector<uint64_t> files = list_audit_files(folder_);
  for (size_t i = 0; i + options.files < files.size(); ++i) (void)::unlink(path(files[i]).c_str());
  return sync_folder(folder_);
}

Status AuditWriter::mend() {
  if (ragged_ && ::ftruncate(file_->get(), static_cast<off_t>(size_)) != 0) {
    return failed(name_, errno);
  }
  ragged_ = false;
  return {};
}

Status AuditWriter::append(std::string_view line, uint64_t sequence, const AuditOptions& options) {
  if (file_ != nullptr) {
    Status status = mend();
    if (!status.ok()) return status;
  }
  if (file_ == nullptr || (size_ > 0 && size_ + line.size() + 1 > options.file_size)) {
    Status status = begin(sequence, options);
    if (!status.ok()) return status;
  }
  const std::string whole = std::string(line) + "\n";
  ssize_t n = 0;
  do {
    n = ::write(file_->get(), whole.data(), whole.size());
  } while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(whole.size())) {
    size_ += whole.size();
    return {};
  }
  const int error = n < 0 ? errno : ENOSPC;
  ragged_ = true;
  (void)mend();
  return failed(name_, error);
}

}  // namespace imctl::host
