// A backup with those that it stands on, as one.
#ifndef IMCTL_BACKUP_CHAIN_H
#define IMCTL_BACKUP_CHAIN_H

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "content_checker.h"
#include "file_reader.h"
#include "imctl/status.h"

namespace imctl::backup {

// Blocks. One thread at a time.
class Chain {
 public:
  // The file of an id.
  using Find = std::function<Result<std::unique_ptr<FileReader>>(const std::string& id)>;
  // Finds what it stands on. `key`: of encrypted ones; empty: there is none.
  static Result<std::unique_ptr<Chain>> open(std::unique_ptr<FileReader> top, const Find& find,
                                             const std::string& key);

  // Reads all of it and checks everything: hashes, that the files are those of one chain, every
  // record, their order and counts. Of locked files what can be without the key.
  Status check();
  // The same a block at a time; false: that was all. From the start again after start_check().
  void start_check();
  Result<bool> check_next();
  uint64_t checked() const;  // bytes so far
  uint64_t size() const;     // that a check reads

  // After check(): its blocks, in order, each whole. `rewind` first.
  Status rewind();
  Result<std::optional<ReadBlock>> next();

  bool locked() const;
  size_t files() const { return files_.size(); }
  const FileReader& top() const { return *files_.front(); }
  std::vector<std::string> ids() const;
  // After check(): of the blocks that its files have.
  std::unordered_set<std::string> digests() const;

 private:
  struct Place {
    size_t file;
    uint64_t offset;
    uint64_t number;
  };

  Status check_block(ReadBlock* block);
  Status end_file();

  std::vector<std::unique_ptr<FileReader>> files_;  // the top first
  std::unordered_map<std::string, Place> places_;   // by digest
  // Of the check: which file, and of the top what is in it.
  size_t checking_ = 0;
  uint64_t before_ = 0;  // bytes of those before it
  ContentChecker content_;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_CHAIN_H
