#include "core/trusted_path.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace imctl::host {
namespace {

Status refused(const std::string& message) { return {IMCTL_FAILED_PRECONDITION, message}; }

// For a command that people copy.
std::string quoted(const std::string& path) {
  constexpr std::string_view kPlain = "/._-+=:@%,";
  if (std::all_of(path.begin(), path.end(), [&](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               kPlain.find(c) != std::string_view::npos;
      })) {
    return path;
  }
  std::string text = "'";
  for (char c : path) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

// ---- users and groups

std::vector<char> lookup_buffer() { return std::vector<char>(size_t{16} << 10); }

std::string login(uid_t uid) {
  std::vector<char> buffer = lookup_buffer();
  passwd entry{};
  passwd* found = nullptr;
  getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found);
  return found == nullptr ? "" : found->pw_name;
}

std::string user_name(uid_t uid) {
  std::string name = login(uid);
  return name.empty() ? "uid " + std::to_string(uid) : name + " (uid " + std::to_string(uid) + ")";
}

struct Group {
  std::string name;
  std::vector<std::string> members;  // beside those whose primary group it is
};

Group group(gid_t gid) {
  std::vector<char> buffer(size_t{1} << 20);  // members are many
  struct group entry {};
  struct group* found = nullptr;
  getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return {};
  Group made{found->gr_name, {}};
  for (char** member = found->gr_mem; *member != nullptr; ++member) {
    made.members.emplace_back(*member);
  }
  return made;
}

// The program that runs. Whoever can exchange it can do all that a module could: its owner and the
// folders above it say nothing new.
struct Program {
  std::string path;
  uid_t owner = 0;
};

const Program& program() {
  static const Program kProgram = [] {
    Program made;
    std::error_code error;
    made.path = std::filesystem::read_symlink("/proc/self/exe", error).string();
    struct stat info {};
    if (stat("/proc/self/exe", &info) == 0) made.owner = info.st_uid;
    return made;
  }();
  return kProgram;
}

bool is_above_program(const std::string& folder) {
  std::string prefix = folder == "/" ? folder : folder + "/";
  return program().path.compare(0, prefix.size(), prefix) == 0;
}

bool ours(uid_t uid) { return uid == 0 || uid == geteuid() || uid == program().owner; }

// Logins whose primary group it is; those of this machine, since others' cannot be listed in
// general.
std::vector<std::string> primary_members(gid_t gid) {
  std::vector<std::string> names;
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen("/etc/passwd", "re"), std::fclose);
  std::vector<char> buffer = lookup_buffer();
  passwd entry{};
  passwd* found = nullptr;
  int error = EIO;
  while (file != nullptr &&
         (error = fgetpwent_r(file.get(), &entry, buffer.data(), buffer.size(), &found)) == 0) {
    if (found->pw_gid == gid) names.emplace_back(found->pw_name);
  }
  if (error != ENOENT) names.emplace_back("?");  // not its end: there may be more
  return names;
}

// Does the group hold nobody but root or this process's user? Many systems give every user such a
// group, named after the user, and make all files group-writable (umask 002). OpenSSH of Debian
// lets them pass for that reason, and sudo root's group.
bool private_group(gid_t gid) {
  std::vector<std::string> users = {login(0), login(geteuid())};
  auto is_ours = [&](const std::string& name) {
    return !name.empty() && std::find(users.begin(), users.end(), name) != users.end();
  };
  Group found = group(gid);
  std::vector<std::string> primary = primary_members(gid);
  return is_ours(found.name) && std::all_of(found.members.begin(), found.members.end(), is_ours) &&
         std::all_of(primary.begin(), primary.end(), is_ours);
}

// With an access list the group's bits of the mode are what any of those on the list may do.
bool has_access_list(int fd) {
  return getxattr(own_path(fd).c_str(), "system.posix_acl_access", nullptr, 0) > 0;
}

// ---- the way to a file

// Goes from / to a file as the kernel does, one name after the other. Each folder is held by a
// descriptor from before it is looked at until the next is opened from it, so nothing can be
// exchanged between the look and the step. As with sshd's StrictModes, every folder counts: who may
// write to one may put other ones in the place of all that is below.
class Walk {
 public:
  explicit Walk(std::string asked) : asked_(std::move(asked)) {}

  Result<TrustedFile> run() {
    std::error_code error;
    std::string start = asked_;
    if (!start.starts_with('/'))
      start = std::filesystem::current_path(error).string() + "/" + start;
    if (error) return cannot(asked_, error.value());
    add_names(start);
    Status status = enter(Fd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)), "/");
    while (status.ok() && !names_.empty()) {
      std::string name = std::move(names_.front());
      names_.pop_front();
      if (name == "..") {
        if (folders_.size() > 1) folders_.pop_back();
        continue;
      }
      const std::string& above = folders_.back().path;
      std::string path = (above == "/" ? "" : above) + "/" + name;
      Fd fd(openat(folders_.back().fd.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      struct stat info {};
      if (!fd.ok() || fstat(fd.get(), &info) != 0) return cannot(asked_, errno);
      if (S_ISLNK(info.st_mode)) {
        status = follow(fd, info, path);
      } else if (S_ISDIR(info.st_mode)) {
        status = enter(std::move(fd), path);
      } else if (!names_.empty()) {
        return cannot(asked_, ENOTDIR);
      } else {
        return arrive(std::move(fd), info, path);
      }
    }
    if (!status.ok()) return status;
    return refused(asked_ + ": a folder, not a module's file");
  }

 private:
  struct Folder {
    Fd fd;
    std::string path;
    mode_t mode;
  };
  static constexpr int kMaxLinks = 40;  // as the kernel

  void add_names(const std::string& path) {
    std::vector<std::string> names;
    for (const auto& part : std::filesystem::path(path).relative_path()) {
      if (!part.empty() && part != ".") names.push_back(part.string());
    }
    names_.insert(names_.begin(), names.begin(), names.end());
  }

  Status enter(Fd fd, const std::string& path) {
    struct stat info {};
    if (!fd.ok() || fstat(fd.get(), &info) != 0) return cannot(asked_, errno);
    if (is_above_program(path)) {
      folders_.push_back({std::move(fd), path, info.st_mode});
      return {};
    }
    std::string what = "the folder " + path;
    Status status = check_owner(info, what, "chown root ", path);
    // In a sticky folder, as /tmp, only the owner of a file can exchange it, and that is checked.
    if (status.ok() && (info.st_mode & S_ISVTX) == 0) {
      status = check_writers(fd.get(), info, what, path);
    }
    if (status.ok()) folders_.push_back({std::move(fd), path, info.st_mode});
    return status;
  }

  Status follow(const Fd& link, const struct stat& info, const std::string& path) {
    Status status = check_owner(info, "the link " + path, "chown -h root ", path);
    if (!status.ok()) return status;
    if (++links_ > kMaxLinks) return cannot(asked_, ELOOP);
    std::string target(4096, '\0');
    ssize_t n = readlinkat(link.get(), "", target.data(), target.size());
    if (n <= 0) return cannot(asked_, n < 0 ? errno : ENOENT);
    target.resize(static_cast<size_t>(n));
    if (target.front() == '/') folders_.erase(folders_.begin() + 1, folders_.end());
    add_names(target);
    return {};
  }

  Result<TrustedFile> arrive(Fd fd, const struct stat& info, const std::string& path) {
    if (!S_ISREG(info.st_mode)) return refused(asked_ + ": not a regular file");
    std::string what = path == asked_ ? "the file" : "the file " + path;
    Status status = check_owner(info, what, "chown root ", path);
    if (status.ok()) status = check_writers(fd.get(), info, what, path);
    if (!status.ok()) return status;
    Folder& folder = folders_.back();
    if ((folder.mode & S_IWOTH) != 0) {
      return refused(asked_ + ": everybody may put files into the folder " + folder.path +
                     ", also ones that the module would take for its own: move it to a folder that "
                     "is only yours");
    }
    return TrustedFile{std::move(fd), std::move(folder.fd), path};
  }

  Status check_owner(const struct stat& info, const std::string& what, const char* command,
                     const std::string& path) const {
    if (ours(info.st_uid)) return {};
    std::string who = geteuid() == 0
                          ? "is not root"
                          : "is neither root nor the host's user " + user_name(geteuid());
    return refused(asked_ + ": " + what + " belongs to " + user_name(info.st_uid) + ", who " + who +
                   " and could change what is loaded: " + command + quoted(path));
  }

  Status check_writers(int fd, const struct stat& info, const std::string& what,
                       const std::string& path) const {
    bool everybody = (info.st_mode & S_IWOTH) != 0;
    bool listed = (info.st_mode & S_IWGRP) != 0 && has_access_list(fd);
    bool members = (info.st_mode & S_IWGRP) != 0 && !listed && !private_group(info.st_gid);
    if (!everybody && !listed && !members) return {};
    std::array<char, 8> mode{};
    std::snprintf(mode.data(), mode.size(), "%04o", info.st_mode & 07777U);
    std::string name = group(info.st_gid).name;
    std::string who = everybody ? "everybody"
                      : listed  ? "whoever is on its access list"
                                : "the group " + (name.empty() ? "" : name + " ") + "(gid " +
                                     std::to_string(info.st_gid) + ")";
    // setfacl takes the list away and leaves the mode, of which the group's part was the list's.
    std::string remedy = listed ? "setfacl -b " + quoted(path) + " && " : "";
    remedy += everybody ? (members || listed ? "chmod go-w " : "chmod o-w ") : "chmod g-w ";
    return refused(asked_ + ": " + who + " may write to " + what + " (mode " + mode.data() +
                   ") and so change what is loaded: " + remedy + quoted(path));
  }

  std::string asked_;
  std::deque<std::string> names_;  // still to go
  std::vector<Folder> folders_;    // from / to here
  int links_ = 0;
};

}  // namespace

Result<TrustedFile> find_trusted(const std::string& path) { return Walk(path).run(); }

}  // namespace imctl::host
