// Importer: one import. Takes lines, writes users in batches, counts, and remembers what was
// refused.
#ifndef IMCTL_USER_IMPORTER_H
#define IMCTL_USER_IMPORTER_H

#include <atomic>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core.h"
#include "csv.h"
#include "import_line.h"

namespace imctl::user {

class Importer {
 public:
  struct Plan {
    bool update = false;
    bool reuse = false;
    bool dry_run = false;
    std::string by;
  };

  Importer(Core* core, Plan plan) : core_(core), plan_(std::move(plan)) {}

  // Takes one line. An error ends the import: the first line is no good, or the storage cannot be
  // reached.
  Task<Status> take(std::string line);
  // After the last line.
  Task<Status> finish();

  // The counts, and what was refused since this was asked for the last time.
  v1::ImportUsersResponse progress();
  // The counts, and what was refused in all, as far as it is kept.
  v1::ImportUsersResponse outcome() const;
  // Is there something to tell?
  bool has_news() const { return !fresh_.empty(); }
  uint64_t done() const { return counts_.created() + counts_.updated() + counts_.unchanged(); }

 private:
  enum class Format { kUnknown, kCsv, kJson };
  struct Item {
    uint64_t line = 0;
    ImportedUser user;
    std::optional<Kept<StoredUser>> there;
    uint64_t tombstone = 0;                  // its revision
    std::optional<Credentials> credentials;  // to be written
    StoredUser result;
  };

  Status read_line(std::string_view line, std::optional<v1::ImportLine>* out);
  void refuse(uint64_t line, const std::string& reason);
  bool is_full() const;
  Task<Status> write_batch();
  // What is to be done with an item; false: nothing, or it is refused.
  Task<Result<bool>> decide(Item* item, bool any_tombstones);
  Task<Status> hash(std::vector<Item>* items);
  Task<Status> write(const std::vector<Item*>& items);
  detail::Detached hash_some(std::vector<Item*>* work, std::atomic<size_t>* next,
                             std::atomic<int>* left, Event* done);
  void add_writes(const Item& item, storage::v1::CommitRequest* to) const;
  void count(const Item& item);

  Core* const core_;
  const Plan plan_;
  Format format_ = Format::kUnknown;
  CsvReader csv_;
  ImportColumns columns_;
  bool has_columns_ = false;
  uint64_t line_ = 0;
  uint64_t record_line_ = 0;  // where what is read now begins
  std::vector<Item> batch_;
  std::set<std::string> names_;  // in the batch
  size_t bytes_ = 0;
  size_t passwords_ = 0;
  v1::ImportUsersResponse counts_;
  std::vector<v1::RefusedLine> fresh_;
  std::vector<v1::RefusedLine> refused_;
};

}  // namespace imctl::user

#endif  // IMCTL_USER_IMPORTER_H
