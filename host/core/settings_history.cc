#include "core/settings_history.h"

#include <fcntl.h>
#include <google/protobuf/util/time_util.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "core/value_format.h"

namespace imctl::host {
namespace {

namespace fs = std::filesystem;
using google::protobuf::util::TimeUtil;
using Time = std::chrono::system_clock::time_point;

// ---- files, with errors in words

// `what`: "PATH cannot be written".
Status failed(int error, const std::string& what) {
  std::string message = what + ": " + std::strerror(error);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return {IMCTL_RESOURCE_EXHAUSTED, message + "; make room"};
    case EACCES:
    case EPERM: message += "; may this user write there?"; break;
    case EBUSY: message += "; it is mounted by itself: mount its folder instead"; break;
    default: break;
  }
  return {IMCTL_FAILED_PRECONDITION, message};
}

class File {
 public:
  File(const std::string& path, int flags, mode_t mode = 0)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY, mode)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

 private:
  int fd_;
};

struct Content {
  std::string text;
  struct stat info {};
};

// Nothing if there is no such file.
Result<std::optional<Content>> read_file(const std::string& path) {
  // A FIFO must not keep us waiting.
  File file(path, O_RDONLY | O_NONBLOCK);
  if (!file.is_open() && errno == ENOENT) return std::optional<Content>();
  Content content;
  if (!file.is_open() || fstat(file.fd(), &content.info) != 0) {
    return failed(errno, path + " cannot be read");
  }
  if (!S_ISREG(content.info.st_mode)) {
    return Status(IMCTL_FAILED_PRECONDITION, path + " is no regular file; name one that is");
  }
  std::array<char, 16384> part{};
  for (;;) {
    ssize_t size = ::read(file.fd(), part.data(), part.size());
    if (size == 0) return std::optional<Content>(std::move(content));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed(errno, path + " cannot be read");
    content.text.append(part.data(), static_cast<size_t>(size));
  }
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t size = ::write(fd, text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return false;
    text.remove_prefix(static_cast<size_t>(size));
  }
  return true;
}

// The mode and, as far as this process may, the owner of an old file. A group that cannot be given
// would hand its rights to another one.
bool resemble(int fd, const struct stat& old) {
  mode_t mode = old.st_mode & 0777;
  if (fchown(fd, old.st_uid, old.st_gid) != 0 &&
      fchown(fd, static_cast<uid_t>(-1), old.st_gid) != 0) {
    mode &= ~static_cast<mode_t>(S_IRWXG);
  }
  return fchmod(fd, mode) == 0;
}

// A new file, on the disk when OK is returned; what had its name goes. Its name needs
// sync_folder().
Status write_file(const std::string& path, std::string_view text, const struct stat* like) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return failed(errno, path + " cannot be written");
  }
  File file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!file.is_open()) return failed(errno, path + " cannot be written");
  if (!write_all(file.fd(), text) || (like != nullptr && !resemble(file.fd(), *like)) ||
      fsync(file.fd()) != 0) {
    int error = errno;
    unlink(path.c_str());
    return failed(error, path + " cannot be written");
  }
  return {};
}

// Makes names in a folder last.
Status sync_folder(const std::string& path) {
  File folder(path, O_RDONLY | O_DIRECTORY);
  // Some file systems have no such thing.
  if (folder.is_open() && (fsync(folder.fd()) == 0 || errno == EINVAL || errno == EOPNOTSUPP)) {
    return {};
  }
  return failed(errno, "the folder " + path + " cannot be written");
}

Status rename_file(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return {};
  return failed(errno, to + " cannot be replaced");
}

std::string folder_of(const std::string& path) { return fs::path(path).parent_path().string(); }

Status make_folder(const std::string& path, mode_t mode) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) return {};
  if (errno != ENOENT || path == folder_of(path)) return failed(errno, path + " cannot be read");
  std::string above = folder_of(path);
  Status status = make_folder(above, mode);
  if (!status.ok()) return status;
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return failed(errno, "the folder " + path + " cannot be made");
  }
  return sync_folder(above);
}

// Where a path leads, over symbolic links; the last one's target need not exist.
Result<std::string> target_of(std::string path) {
  constexpr int kMostLinks = 40;  // as Linux has it
  for (int links = 0; links <= kMostLinks; ++links) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0 && errno != ENOENT) {
      return failed(errno, path + " cannot be read");
    }
    if (!S_ISLNK(info.st_mode)) return path;
    std::error_code error;
    fs::path to = fs::read_symlink(path, error);
    if (error) return failed(error.value(), path + " cannot be read");
    path = (fs::path(path).parent_path() / to).string();
  }
  return failed(ELOOP, path + " cannot be read");
}

// The new file before it takes the place of the old one.
std::string temporary_of(const std::string& target, uint64_t number) {
  fs::path path(target);
  std::string name = "." + path.filename().string() + "." + std::to_string(number) + ".new";
  return (path.parent_path() / name).string();
}

std::string text_of(const std::optional<Content>& content) {
  return content ? content->text : std::string();
}

Time time_of(const struct timespec& time) {
  return Time(std::chrono::duration_cast<Time::duration>(std::chrono::seconds(time.tv_sec) +
                                                         std::chrono::nanoseconds(time.tv_nsec)));
}

Status check_base(const std::optional<Content>& found, const std::string& base) {
  if (text_of(found) == base) return {};
  return {IMCTL_ABORTED,
          "somebody else changed it since it was read; look at it, have it read again, and repeat"};
}

}  // namespace

// ---- the index

std::string SettingsStore::content_path(uint64_t number) const {
  return folder_ + "/" + std::to_string(number) + ".conf";
}

// A line of JSON, which is YAML too. Not by protobuf: google.protobuf.Struct's maps are laid out
// differently when compiled for the thread sanitizer.
Result<std::string> SettingsStore::to_line(const Entry& entry) {
  auto time =
      std::chrono::duration_cast<std::chrono::nanoseconds>(entry.change.time.time_since_epoch());
  YAML::Emitter line;
  line.SetOutputCharset(YAML::EscapeAsJson);
  line.SetMapFormat(YAML::Flow);
  line.SetStringFormat(YAML::DoubleQuoted);
  line << YAML::BeginMap;
  line << YAML::Key << "number" << YAML::Value << entry.change.number;
  line << YAML::Key << "time" << YAML::Value
       << TimeUtil::ToString(TimeUtil::NanosecondsToTimestamp(time.count()));
  line << YAML::Key << "who" << YAML::Value << entry.change.who;
  line << YAML::Key << "why" << YAML::Value << entry.change.why;
  line << YAML::Key << "file" << YAML::Value << entry.change.file;
  line << YAML::Key << "temporary" << YAML::Value << entry.temporary;
  line << YAML::EndMap;
  // What is no UTF-8 is lost, which matters for this name only.
  auto back = line.good() ? from_line(line.c_str()) : std::nullopt;
  if (back && back->temporary == entry.temporary) return std::string(line.c_str());
  return Status(IMCTL_FAILED_PRECONDITION,
                "its name cannot be kept in the history of settings: it must be UTF-8");
}

std::optional<SettingsStore::Entry> SettingsStore::from_line(const std::string& line) {
  try {
    YAML::Node object = YAML::Load(line);
    if (!object.IsMap()) return std::nullopt;
    Entry entry;
    entry.change.number = object["number"].as<uint64_t>(0);
    google::protobuf::Timestamp time;
    if (entry.change.number == 0 ||
        !TimeUtil::FromString(object["time"].as<std::string>(""), &time)) {
      return std::nullopt;
    }
    entry.change.time = Time(std::chrono::duration_cast<Time::duration>(
        std::chrono::nanoseconds(TimeUtil::TimestampToNanoseconds(time))));
    entry.change.who = object["who"].as<std::string>("");
    entry.change.why = object["why"].as<std::string>("");
    entry.change.file = object["file"].as<std::string>("");
    entry.temporary = object["temporary"].as<std::string>("");
    return entry;
  } catch (const YAML::Exception&) {
    return std::nullopt;
  }
}

Result<SettingsStore::Entries> SettingsStore::read_index() const {
  auto content = read_file(index_path());
  if (!content.ok()) return content.status();
  Entries entries;
  std::istringstream lines(text_of(*content));
  int at = 0;
  for (std::string line; std::getline(lines, line);) {
    ++at;
    std::optional<Entry> entry = from_line(line);
    if (!entry || (!entries.empty() && entry->change.number <= entries.back().change.number)) {
      return Status(IMCTL_FAILED_PRECONDITION,
                    index_path() + ":" + std::to_string(at) +
                        ": is no entry of a history of settings; mend the line, or move the file "
                        "away to begin a new history");
    }
    entries.push_back(*std::move(entry));
  }
  return entries;
}

Status SettingsStore::write_index(const Entries& entries) const {
  std::string text;
  for (const Entry& entry : entries) {
    auto line = to_line(entry);
    if (!line.ok()) return line.status();
    text += *line + "\n";
  }
  // The contents that it names must be there first.
  Status status = sync_folder(folder_);
  std::string temporary = index_path() + ".new";
  if (status.ok()) status = write_file(temporary, text, nullptr);
  if (status.ok()) status = rename_file(temporary, index_path());
  if (status.ok()) status = sync_folder(folder_);
  return status;
}

std::vector<uint64_t> SettingsStore::numbers_in_folder() const {
  std::vector<uint64_t> numbers;
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() != ".conf") continue;
    std::optional<uint64_t> number = parse_uint(at->path().stem().string());
    if (number && at->path().stem() == std::to_string(*number)) numbers.push_back(*number);
  }
  return numbers;
}

// ---- changes

SettingsStore::SettingsStore(std::string file, std::string folder)
    : file_(std::move(file)), folder_(std::move(folder)) {}

Result<std::unique_ptr<SettingsStore>> SettingsStore::open(const std::string& file,
                                                           const std::string& folder) {
  if (file.empty()) {
    return Status(IMCTL_INVALID_ARGUMENT, "there is no config file; name one with --config");
  }
  std::array<std::string, 2> paths = {file, folder};
  for (std::string& path : paths) {
    std::error_code error;
    path = fs::absolute(path, error).string();
    if (error) return failed(error.value(), "the current folder cannot be read");
  }
  std::unique_ptr<SettingsStore> store(new SettingsStore(paths[0], paths[1]));
  Status status = store->settle();
  if (!status.ok()) return status;
  return store;
}

Status SettingsStore::settle() {
  auto index = read_index();
  if (!index.ok()) return index.status();
  entries_ = *std::move(index);
  struct stat info {};
  if (!entries_.empty() && !entries_.back().temporary.empty() &&
      lstat(entries_.back().temporary.c_str(), &info) == 0) {
    Entry last = std::move(entries_.back());
    entries_.pop_back();
    Status status = write_index(entries_);
    if (!status.ok()) return status;
    unlink(content_path(last.change.number).c_str());
    unlink(last.temporary.c_str());
  }
  if (!entries_.empty()) next_ = entries_.back().change.number + 1;

  // What did not come as far as the index. Without one the contents may be all that is left of a
  // history, and stay.
  std::set<uint64_t> named;
  for (const Entry& entry : entries_) named.insert(entry.change.number);
  auto target = target_of(file_);
  for (uint64_t number : numbers_in_folder()) {
    if (named.count(number) != 0) continue;
    if (target.ok()) unlink(temporary_of(*target, number).c_str());
    if (named.empty()) {
      next_ = std::max(next_, number + 1);
    } else if (number > *named.begin()) {
      unlink(content_path(number).c_str());
    }
  }
  return {};
}

Result<std::string> SettingsStore::read() const {
  auto content = read_file(file_);
  if (!content.ok()) return content.status();
  return text_of(*content);
}

Status SettingsStore::record(Entries* entries, SettingsChange change,
                             const std::string& content) const {
  change.number = entries->size() > entries_.size() ? entries->back().change.number + 1 : next_;
  change.file = file_;
  entries->push_back({std::move(change), ""});
  return write_file(content_path(entries->back().change.number), content, nullptr);
}

Status SettingsStore::replace(const std::string& target, const std::string& base,
                              const std::string& content, Entries* entries) const {
  if (content == base) return write_index(*entries);
  auto found = read_file(target);
  if (!found.ok()) return found.status();
  std::string temporary = temporary_of(target, entries->back().change.number);
  entries->back().temporary = temporary;
  Status status = write_file(temporary, content, *found ? &(*found)->info : nullptr);
  if (status.ok()) status = sync_folder(folder_of(target));
  if (status.ok()) status = write_index(*entries);
  if (!status.ok()) return status;
  // All this took a while.
  found = read_file(target);
  if (!found.ok()) return found.status();
  status = check_base(*found, base);
  if (status.ok()) status = rename_file(temporary, target);
  return status;
}

void SettingsStore::undo(const Entries& entries) {
  // While the index may name the change its temporary file must stay: it says that the change did
  // not happen.
  auto index = read_index();
  bool named = !index.ok() || (!index->empty() && index->back().change.number >= next_);
  if (named && !write_index(entries_).ok()) {
    next_ = entries.back().change.number + 1;
    return;
  }
  for (const Entry& entry : entries) {
    if (entry.change.number < next_) continue;
    unlink(content_path(entry.change.number).c_str());
    if (!entry.temporary.empty()) unlink(entry.temporary.c_str());
  }
}

void SettingsStore::remove_old() const {
  if (entries_.size() < kKept) return;
  for (uint64_t number : numbers_in_folder()) {
    if (number < entries_.front().change.number) unlink(content_path(number).c_str());
  }
}

Result<uint64_t> SettingsStore::commit(const std::string& base, const std::string& content,
                                       const std::string& who, const std::string& why, Time time) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto not_changed = [this](const Status& status) {
    return Status(status.code(), "cannot change " + file_ + ": " + status.message());
  };
  auto target = target_of(file_);
  if (!target.ok()) return not_changed(target.status());
  auto found = read_file(*target);
  if (!found.ok()) return not_changed(found.status());
  Status status = check_base(*found, base);
  if (status.ok()) status = make_folder(folder_, 0700);
  if (status.ok()) status = make_folder(folder_of(*target), 0755);
  if (!status.ok()) return not_changed(status);

  Entries entries = entries_;
  bool recorded = false;
  if (!entries_.empty()) {
    auto newest = read_file(content_path(entries_.back().change.number));
    recorded = newest.ok() && *newest && (*newest)->text == base;
  }
  if (recorded && content == base) return entries_.back().change.number;
  if (!recorded) {
    SettingsChange before;
    bool first = entries_.empty() || entries_.back().change.file != file_;
    before.why = first ? "as it was at first" : "changed by other means";
    before.time = *found ? time_of((*found)->info.st_mtim) : time;
    status = record(&entries, std::move(before), base);
  }
  if (status.ok() && content != base) {
    SettingsChange change;
    change.who = who;
    change.why = why;
    change.time = time;
    status = record(&entries, std::move(change), content);
  }
  if (entries.size() > kKept) {
    entries.erase(entries.begin(), entries.end() - static_cast<std::ptrdiff_t>(kKept));
  }
  if (status.ok()) status = replace(*target, base, content, &entries);
  if (!status.ok()) {
    undo(entries);
    return not_changed(status);
  }

  entries_ = std::move(entries);
  uint64_t number = entries_.back().change.number;
  next_ = number + 1;
  remove_old();
  if (content == base) return number;
  status = sync_folder(folder_of(*target));
  if (status.ok()) return number;
  return Status(
      IMCTL_DATA_LOSS,
      file_ + " is changed, but may lose the change if the power fails: " + status.message());
}

// ---- the history

std::vector<SettingsChange> SettingsStore::history() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<SettingsChange> changes;
  changes.reserve(entries_.size());
  for (const Entry& entry : entries_) changes.push_back(entry.change);
  return changes;
}

Result<std::string> SettingsStore::content(uint64_t number) const {
  std::lock_guard<std::mutex> lock(mutex_);
  bool known = std::any_of(entries_.begin(), entries_.end(),
                           [&](const Entry& entry) { return entry.change.number == number; });
  if (known) {
    auto content = read_file(content_path(number));
    if (!content.ok()) return content.status();
    if (*content) return std::move((*content)->text);
  }
  std::string has = entries_.empty() ? "it is empty"
                                     : "it has " + std::to_string(entries_.front().change.number) +
                                           " to " + std::to_string(entries_.back().change.number);
  return Status(IMCTL_NOT_FOUND,
                "the history of settings has no change " + std::to_string(number) +
                    (known ? " any more: its file is gone from " + folder_ : "; " + has));
}

}  // namespace imctl::host
