#include "chain.h"

#include <algorithm>
#include <utility>

namespace imctl::backup {
namespace {

constexpr size_t kMaxFiles = 10'000;

}  // namespace

Result<std::unique_ptr<Chain>> Chain::open(std::unique_ptr<FileReader> top, const Find& find,
                                           const std::string& key) {
  auto chain = std::make_unique<Chain>();
  chain->files_.push_back(std::move(top));
  for (;;) {
    FileReader& last = *chain->files_.back();
    if (!key.empty()) {
      if (Status status = last.unlock(key); !status.ok()) return status;
    }
    const std::string parent = last.header().parent();
    if (parent.empty()) return chain;
    const std::vector<std::string> known = chain->ids();
    if (known.size() == kMaxFiles || std::find(known.begin(), known.end(), parent) != known.end()) {
      return Status(IMCTL_DATA_LOSS, last.name() + " stands on itself");
    }
    Result<std::unique_ptr<FileReader>> file = find(parent);
    if (!file.ok()) {
      return Status(file.status().code() == IMCTL_NOT_FOUND ? IMCTL_FAILED_PRECONDITION
                                                            : file.status().code(),
                    last.name() + " stands on the backup " + parent +
                        ", which cannot be read: " + file.status().message());
    }
    chain->files_.push_back(std::move(*file));
  }
}

std::vector<std::string> Chain::ids() const {
  std::vector<std::string> ids;
  for (const auto& file : files_) ids.push_back(file->header().id());
  return ids;
}

std::unordered_set<std::string> Chain::digests() const {
  std::unordered_set<std::string> digests;
  for (const auto& [digest, place] : places_) digests.insert(digest);
  return digests;
}

bool Chain::locked() const {
  return std::any_of(files_.begin(), files_.end(), [](const auto& file) { return file->locked(); });
}

uint64_t Chain::size() const {
  uint64_t size = 0;
  for (const auto& file : files_) size += file->size();
  return size;
}

Status Chain::check() {
  start_check();
  for (;;) {
    Result<bool> more = check_next();
    if (!more.ok()) return more.status();
    if (!*more) return {};
  }
}

void Chain::start_check() {
  places_.clear();
  content_ = ContentChecker();
  before_ = 0;
  // The oldest first: each knows the blocks of those before it.
  checking_ = files_.size() - 1;
  files_[checking_]->rewind();
}

uint64_t Chain::checked() const { return before_ + files_[checking_]->read(); }

Result<bool> Chain::check_next() {
  FileReader& file = *files_[checking_];
  Result<std::optional<ReadBlock>> block = file.next();
  if (!block.ok()) return block.status();
  Status status = *block ? check_block(&**block) : end_file();
  if (!status.ok()) return Status(status.code(), file.name() + ": " + status.message());
  if (*block) return true;
  if (checking_ == 0) return false;
  before_ += file.size();
  files_[--checking_]->rewind();
  return true;
}

Status Chain::check_block(ReadBlock* block) {
  if (files_[checking_]->locked()) return {};
  if (block->bytes) {
    places_.insert_or_assign(block->digest, Place{checking_, block->offset, block->number});
  } else if (!places_.contains(block->digest)) {
    return {IMCTL_DATA_LOSS, "the block at byte " + std::to_string(block->offset) +
                                 " is in none of the files that it stands on"};
  }
  // What is in the others counts only as far as the top refers to it.
  if (checking_ != 0) return {};
  if (!block->bytes) {
    const Place place = places_.at(block->digest);
    Result<ReadBlock> there = files_[place.file]->at(place.offset, place.number);
    if (!there.ok()) return there.status();
    block->bytes = std::move(there->bytes);
  }
  return content_.add(*block);
}

Status Chain::end_file() {
  const FileReader& file = *files_[checking_];
  if (checking_ > 0 && files_[checking_ - 1]->header().parent_hash() != file.hash()) {
    return {IMCTL_DATA_LOSS, "it is not the file that " + files_[checking_ - 1]->name() +
                                 " stands on, though it has its id"};
  }
  return checking_ > 0 || file.locked() ? Status() : content_.end(file.trailer());
}

Status Chain::rewind() {
  files_.front()->rewind();
  return {};
}

Result<std::optional<ReadBlock>> Chain::next() {
  FileReader& file = *files_.front();
  Result<std::optional<ReadBlock>> block = file.next();
  if (!block.ok() || !*block || (*block)->bytes) return block;
  auto place = places_.find((*block)->digest);
  if (place == places_.end()) {
    return Status(IMCTL_DATA_LOSS, file.name() + " changed while it was read");
  }
  Result<ReadBlock> there =
      files_[place->second.file]->at(place->second.offset, place->second.number);
  if (!there.ok()) return there.status();
  if (there->digest != (*block)->digest || !there->bytes) {
    return Status(IMCTL_DATA_LOSS,
                  files_[place->second.file]->name() + " changed while it was read");
  }
  (*block)->bytes = std::move(there->bytes);
  return block;
}

}  // namespace imctl::backup
