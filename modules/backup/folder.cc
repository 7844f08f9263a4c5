#include "folder.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <set>
#include <utility>

#include "disk.h"

namespace imctl::backup {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kSuffix = ".imctl";
constexpr size_t kShortId = 12;

v1::Backup describe_file(const fs::path& path) {
  v1::Backup backup;
  Result<std::shared_ptr<Source>> source = open_file(path);
  if (source.ok()) {
    backup.set_file_size((*source)->size());
    Result<std::unique_ptr<FileReader>> file = FileReader::open(*source, path.filename());
    if (file.ok()) {
      backup = describe(**file);
    } else {
      backup.set_problem(file.status().message());
    }
  } else {
    backup.set_problem(source.status().message());
  }
  backup.set_name(path.filename());
  return backup;
}

}  // namespace

std::string Folder::file_name(const v1::FileHeader& header) {
  const std::time_t at = header.created().seconds();
  std::tm utc{};
  ::gmtime_r(&at, &utc);
  char time[32];
  const size_t size = std::strftime(time, sizeof(time), "%Y%m%dT%H%M%SZ", &utc);
  return "imctl-" + std::string(time, size) + "-" + header.id().substr(0, kShortId) +
         std::string(kSuffix);
}

v1::Backup describe(const FileReader& file) {
  v1::Backup backup;
  const v1::FileHeader& header = file.header();
  backup.set_id(header.id());
  backup.set_name(file.name());
  *backup.mutable_created() = header.created();
  backup.set_domain(header.domain());
  backup.set_storage(header.storage());
  backup.set_imctl_version(header.imctl_version());
  *backup.mutable_contents() = header.contents();
  backup.set_parent(header.parent());
  backup.set_encrypted(header.has_encryption());
  backup.set_reason(header.reason());
  backup.set_file_size(file.size());
  Result<v1::FileTrailer> trailer = file.peek_trailer();
  if (!trailer.ok()) {
    backup.set_problem(trailer.status().message());
    return backup;
  }
  backup.set_size(trailer->size());
  *backup.mutable_stored() = trailer->stored();
  backup.set_settings(trailer->settings());
  backup.set_modules(trailer->modules());
  return backup;
}

Result<std::vector<v1::Backup>> Folder::list() const {
  std::vector<v1::Backup> found;
  std::error_code error;
  if (!fs::exists(path_, error)) return found;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    const std::string name = entry.path().filename();
    std::error_code ignored;
    if (name.starts_with(".") || !name.ends_with(kSuffix) || !entry.is_regular_file(ignored)) {
      continue;
    }
    found.push_back(describe_file(entry.path()));
  }
  if (error) return disk_error(path_, error.value());
  std::sort(found.begin(), found.end(), [](const v1::Backup& a, const v1::Backup& b) {
    const auto key = [](const v1::Backup& backup) {
      return std::make_tuple(backup.created().seconds(), backup.created().nanos(),
                             std::string_view(backup.name()));
    };
    return key(a) < key(b);
  });
  return found;
}

Result<v1::Backup> Folder::find(const std::string& name) const {
  if (name.empty()) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "name a backup: its id, the first digits of it, or \"last\"");
  }
  Result<std::vector<v1::Backup>> all = list();
  if (!all.ok()) return all.status();
  std::erase_if(*all, [&](const v1::Backup& backup) {
    return backup.id().empty() || (name != "last" && !backup.id().starts_with(name));
  });
  if (all->empty()) {
    return Status(IMCTL_NOT_FOUND, "there is no backup " + name + " in " + path_ +
                                       ": `imctl backup list` shows those that there are");
  }
  if (name != "last" && all->size() > 1) {
    return Status(IMCTL_INVALID_ARGUMENT, std::to_string(all->size()) + " backups begin with " +
                                              name + ": give more of it");
  }
  return std::move(all->back());
}

Result<std::unique_ptr<FileReader>> Folder::open(const std::string& id) const {
  Result<v1::Backup> backup = find(id);
  if (!backup.ok()) return backup.status();
  Result<std::shared_ptr<Source>> source = open_file(path_ + "/" + backup->name());
  if (!source.ok()) return source.status();
  return FileReader::open(*source, backup->name());
}

Chain::Find Folder::finder() const {
  return [folder = *this](const std::string& id) { return folder.open(id); };
}

Result<std::vector<v1::Backup>> Folder::dependents(const std::string& id) const {
  Result<std::vector<v1::Backup>> all = list();
  if (!all.ok()) return all.status();
  std::set<std::string> ids = {id};
  std::vector<v1::Backup> found;
  // A child is younger than what it stands on.
  for (v1::Backup& backup : *all) {
    if (!backup.parent().empty() && ids.contains(backup.parent())) {
      ids.insert(backup.id());
      found.push_back(std::move(backup));
    }
  }
  return found;
}

Status Folder::remove(const v1::Backup& backup) const {
  return remove_file(path_ + "/" + backup.name());
}

}  // namespace imctl::backup
