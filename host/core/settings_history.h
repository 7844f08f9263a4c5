// The config file as verbs change it: at once or not at all, and every content can be had back.
#ifndef IMCTL_HOST_CORE_SETTINGS_HISTORY_H
#define IMCTL_HOST_CORE_SETTINGS_HISTORY_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host {

// One content that the config file had.
struct SettingsChange {
  uint64_t number = 0;
  std::string who;  // empty: found in the file, put there by other means
  std::string why;
  std::chrono::system_clock::time_point time;
  std::string file;  // the config file
};

// The config file and the history of its contents. A change's number stands for the whole content
// that it put in the file, so going back to N is to commit content(N).
//
// The history is in a folder: index.jsonl has a line for each change, N.conf the content; both for
// nobody else's eyes. All functions may be called from any thread. One store a folder: the data
// folder's lock sees to it.
class SettingsStore {
 public:
  static constexpr size_t kKept = 100;  // changes; older ones go

  // Neither the file nor the folder need exist. If a process died in commit(), now it is settled
  // whether that change happened.
  static Result<std::unique_ptr<SettingsStore>> open(const std::string& file,
                                                     const std::string& folder);

  // Absolute; where it is a symbolic link, its target is what is read and written.
  const std::string& file() const { return file_; }

  // What the file holds now; an empty text if there is none.
  Result<std::string> read() const;

  // Puts `content` in the place of `base` and gives the change's number. If the history does not
  // have `base` yet, it becomes a change of its own before. If `content` is `base`, nothing is
  // written but that, and the number is that of the newest change.
  //
  // The file keeps its mode, and its owner as far as this process may give files away; a new file
  // is for this user only. Its folder is made if need be. When OK is returned all is on the disk.
  //
  // After an error the file is as it was, and so is the history:
  //   ABORTED              the file's content is not `base`: somebody else changed it. Who changes
  //                        it between the last look at it and the change, an instant, is overrun
  //   RESOURCE_EXHAUSTED   no room
  //   FAILED_PRECONDITION  the file or a folder cannot be written
  // but for DATA_LOSS: the change is made, but the disk does not confirm that it will keep it.
  Result<uint64_t> commit(const std::string& base, const std::string& content,
                          const std::string& who, const std::string& why,
                          std::chrono::system_clock::time_point time);

  // The oldest first.
  std::vector<SettingsChange> history() const;

  // NOT_FOUND if the history does not have it (any more).
  Result<std::string> content(uint64_t number) const;

 private:
  struct Entry {
    SettingsChange change;
    // The new file before it took the old one's place; empty if there was none. Only the newest
    // entry's counts: while it is there under this name, that change has not happened.
    std::string temporary;
  };
  using Entries = std::vector<Entry>;  // the oldest first

  SettingsStore(std::string file, std::string folder);

  static Result<std::string> to_line(const Entry& entry);
  static std::optional<Entry> from_line(const std::string& line);
  std::string index_path() const { return folder_ + "/index.jsonl"; }
  std::string content_path(uint64_t number) const;
  Result<Entries> read_index() const;
  Status write_index(const Entries& entries) const;
  std::vector<uint64_t> numbers_in_folder() const;

  Status settle();
  // Adds a change to `entries` and writes its content.
  Status record(Entries* entries, SettingsChange change, const std::string& content) const;
  // Writes all entries that are new and, if they are not the same, `content` in the place of
  // `base`.
  Status replace(const std::string& target, const std::string& base, const std::string& content,
                 Entries* entries) const;
  void undo(const Entries& entries);
  void remove_old() const;

  const std::string file_;
  const std::string folder_;
  mutable std::mutex mutex_;
  Entries entries_;  // as in the index
  uint64_t next_ = 1;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SETTINGS_HISTORY_H
