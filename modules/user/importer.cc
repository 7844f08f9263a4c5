#include "importer.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "text.h"
#include "token_keeper.h"

namespace imctl::user {
namespace {

constexpr size_t kBatch = 200;
constexpr size_t kBatchBytes = size_t{1} << 20U;
constexpr size_t kMaxLine = size_t{64} << 10U;
// So that progress shows while passwords are hashed.
constexpr size_t kHashesABatch = 8;
constexpr size_t kMostRefused = 10000;

}  // namespace

void Importer::refuse(uint64_t line, const std::string& reason) {
  counts_.set_refused(counts_.refused() + 1);
  v1::RefusedLine refused;
  refused.set_line(line);
  refused.set_reason(reason);
  fresh_.push_back(refused);
  if (refused_.size() < kMostRefused) refused_.push_back(std::move(refused));
}

v1::ImportUsersResponse Importer::progress() {
  v1::ImportUsersResponse response = counts_;
  response.set_lines(line_);
  for (v1::RefusedLine& line : fresh_) *response.add_bad() = std::move(line);
  fresh_.clear();
  return response;
}

v1::ImportUsersResponse Importer::outcome() const {
  v1::ImportUsersResponse response = counts_;
  response.set_lines(line_);
  for (const v1::RefusedLine& line : refused_) *response.add_bad() = line;
  response.set_done(true);
  return response;
}

bool Importer::is_full() const {
  return batch_.size() >= kBatch || bytes_ >= kBatchBytes ||
         passwords_ >= kHashesABatch * core_->options()->import_hashes;
}

Status Importer::read_line(std::string_view line, std::optional<v1::ImportLine>* out) {
  ++line_;
  if (!csv_.open()) {
    record_line_ = line_;
    if (line.empty() || line == "\r") return {};
  }
  if (format_ == Format::kUnknown) {
    format_ = line.front() == '{' ? Format::kJson : Format::kCsv;
  }
  if (format_ == Format::kJson) {
    if (line.size() > kMaxLine) {
      refuse(line_, "it has more than 64 KiB");
      return {};
    }
    Result<std::string> bytes = core_->host.from_json("imctl.user.v1.ImportLine", line);
    v1::ImportLine read;
    // What is wrong would be told with a piece of the line, which may be a password.
    if (!bytes.ok() || !read.ParseFromString(*bytes)) {
      refuse(line_, "it is no JSON object with the fields of a user (docs/users.md)");
      return {};
    }
    *out = std::move(read);
    return {};
  }
  switch (csv_.take(line)) {
    case CsvReader::Outcome::kMore: return {};
    case CsvReader::Outcome::kBad: {
      if (!has_columns_) return {IMCTL_INVALID_ARGUMENT, "line 1: " + csv_.error()};
      refuse(record_line_, csv_.error());
      return {};
    }
    case CsvReader::Outcome::kRecord: break;
  }
  if (!has_columns_) {
    if (Status status = columns_.read(csv_.fields()); !status.ok()) {
      return {status.code(), "line " + std::to_string(record_line_) + ": " + status.message()};
    }
    has_columns_ = true;
    return {};
  }
  Result<v1::ImportLine> read = columns_.line(csv_.fields());
  if (read.ok()) {
    *out = std::move(*read);
  } else {
    refuse(record_line_, read.status().message());
  }
  return {};
}

Task<Status> Importer::take(std::string line) {
  std::optional<v1::ImportLine> read;
  if (Status status = read_line(line, &read); !status.ok()) co_return status;
  if (!read) co_return Status();
  const auto options = core_->options();
  Result<ImportedUser> user =
      ImportedUser::check(std::move(*read), options->domain, options->passwords);
  if (!user.ok()) {
    refuse(record_line_, user.status().message());
    co_return Status();
  }
  // Twice in a batch they would be two writes of one record in a Commit.
  if (is_full() || names_.count(user->address) > 0) {
    Status status = co_await write_batch();
    if (!status.ok()) co_return status;
  }
  names_.insert(user->address);
  bytes_ += line.size();
  if (!user->password.empty()) ++passwords_;
  Item item;
  item.line = record_line_;
  item.user = std::move(*user);
  batch_.push_back(std::move(item));
  co_return Status();
}

Task<Status> Importer::finish() {
  if (csv_.open()) refuse(record_line_, "a quote is opened and not closed");
  Status status = co_await write_batch();
  co_return status;
}

Task<Result<bool>> Importer::decide(Item* item, bool any_tombstones) {
  const int64_t now = unix_now();
  auto there = co_await core_->store.get<StoredUser>(kUsers, item->user.address);
  if (!there.ok()) co_return there.status();
  item->there = std::move(*there);
  if (!item->there) {
    if (any_tombstones) {
      auto tombstone = co_await core_->store.get<StoredTombstone>(kTombstones, item->user.address);
      if (!tombstone.ok()) co_return tombstone.status();
      Status may = may_be_added(*tombstone, item->user.address, plan_.reuse);
      if (!may.ok()) {
        refuse(item->line, may.message());
        co_return false;
      }
      if (*tombstone) item->tombstone = (*tombstone)->revision;
    }
    item->result.set_address(item->user.address);
    item->result.set_uid(random_uid());
    item->result.set_created(now);
    item->result.set_updated(now);
    (void)item->user.apply(plan_.by, now, &item->result);  // was checked
    if (!item->user.credentials.empty()) item->credentials = item->user.credentials;
    co_return true;
  }
  const StoredUser& before = item->there->value;
  item->result = before;
  if (Status status = item->user.apply(plan_.by, now, &item->result); !status.ok()) {
    refuse(item->line, status.message());
    co_return false;
  }
  bool unchanged = same(before, item->result);
  if (!item->user.credentials.empty()) {
    auto kept = co_await core_->store.get<StoredCredentials>(kCredentials, item->user.address);
    if (!kept.ok()) co_return kept.status();
    Credentials known;
    if (*kept && (*kept)->value.uid() == before.uid()) known = from_stored((*kept)->value);
    if (!item->user.has_same(known)) {
      unchanged = false;
      item->credentials = item->user.credentials;
    }
  }
  // Whether a password in plain text is the same would take as long to find out as to hash it.
  if (plan_.update && !item->user.password.empty()) unchanged = false;
  if (unchanged) {
    counts_.set_unchanged(counts_.unchanged() + 1);
    co_return false;
  }
  if (!plan_.update) {
    refuse(item->line, "user " + item->user.address +
                           " is there already and differs: --update overwrites what the line says");
    co_return false;
  }
  item->result.set_updated(now);
  co_return true;
}

detail::Detached Importer::hash_some(std::vector<Item*>* work, std::atomic<size_t>* next,
                                     std::atomic<int>* left, Event* done) {
  const PasswordSettings settings = core_->options()->passwords;
  for (size_t i = (*next)++; i < work->size(); i = (*next)++) {
    Item* item = (*work)[i];
    try {
      Result<Credentials> made = co_await core_->hasher.make(item->user.password, settings);
      if (made.ok()) item->credentials = std::move(*made);
    } catch (const std::exception& e) {
      core_->host.warn(std::string("a password could not be hashed: ") + e.what());
    }
  }
  if (--*left == 0) done->set();
}

Task<Status> Importer::hash(std::vector<Item>* items) {
  std::vector<Item*> work;
  for (Item& item : *items) {
    if (!item.user.password.empty()) work.push_back(&item);
  }
  if (work.empty()) co_return Status();
  std::atomic<size_t> next{0};
  Event done;
  const int workers = static_cast<int>(core_->options()->import_hashes);
  std::atomic<int> left{workers};
  for (int i = 0; i < workers; ++i) hash_some(&work, &next, &left, &done);
  co_await done;
  for (const Item* item : work) {
    if (item->credentials) counts_.set_hashed(counts_.hashed() + 1);
  }
  co_return Status();
}

void Importer::add_writes(const Item& item, storage::v1::CommitRequest* to) const {
  storage::v1::PutRecordRequest* put = to->add_writes()->mutable_put();
  fill_put(item.result, put);
  if (item.there) {
    put->set_revision(item.there->revision);
  } else {
    put->set_create(true);
  }
  if (item.credentials) {
    add_put(to, kCredentials, item.user.address,
            to_stored(*item.credentials, item.result.uid()).SerializeAsString());
  }
  if (item.tombstone != 0) add_delete(to, kTombstones, item.user.address, item.tombstone);
}

void Importer::count(const Item& item) {
  if (item.there) {
    counts_.set_updated(counts_.updated() + 1);
  } else {
    counts_.set_created(counts_.created() + 1);
  }
}

Task<Status> Importer::write(const std::vector<Item*>& items) {
  if (plan_.dry_run || items.empty()) {
    for (const Item* item : items) count(*item);
    co_return Status();
  }
  storage::v1::CommitRequest all;
  for (const Item* item : items) add_writes(*item, &all);
  Result<storage::v1::CommitResponse> done = co_await core_->store.commit(std::move(all));
  if (!done.ok() && !is_conflict(done.status())) co_return done.status();
  for (Item* item : items) {
    bool written = done.ok();
    if (!written) {
      // One of them was changed meanwhile: which?
      storage::v1::CommitRequest one;
      add_writes(*item, &one);
      Result<storage::v1::CommitResponse> alone = co_await core_->store.commit(std::move(one));
      if (!alone.ok() && !is_conflict(alone.status())) co_return alone.status();
      written = alone.ok();
    }
    if (!written) {
      refuse(item->line,
             "user " + item->user.address + " was changed by others meanwhile: import it again");
      continue;
    }
    count(*item);
    // Who had the old password is out.
    if (item->there && item->credentials) {
      Result<uint64_t> removed =
          co_await remove_tokens(&core_->store, item->user.address, std::string());
      if (!removed.ok()) co_return removed.status();
    }
  }
  co_return Status();
}

Task<Status> Importer::write_batch() {
  std::vector<Item> items = std::exchange(batch_, {});
  names_.clear();
  bytes_ = 0;
  passwords_ = 0;
  if (items.empty()) co_return Status();
  storage::v1::ListRecordsRequest request;
  request.set_collection(kTombstones);
  request.set_limit(1);
  request.set_keys_only(true);
  Result<storage::v1::ListRecordsResponse> tombstones = co_await core_->store.list(request);
  if (!tombstones.ok()) co_return tombstones.status();
  const bool any_tombstones = !tombstones->records().empty();
  std::vector<Item> chosen;
  for (Item& item : items) {
    Result<bool> wanted = co_await decide(&item, any_tombstones);
    if (!wanted.ok()) co_return wanted.status();
    if (*wanted) chosen.push_back(std::move(item));
  }
  if (!plan_.dry_run) {
    Status hashed = co_await hash(&chosen);
    if (!hashed.ok()) co_return hashed;
  }
  std::vector<Item*> writes;
  for (Item& item : chosen) {
    if (!plan_.dry_run && !item.user.password.empty() && !item.credentials) {
      refuse(item.line, "its password could not be hashed just now: import it again");
      continue;
    }
    writes.push_back(&item);
  }
  Status status = co_await write(writes);
  co_return status;
}

}  // namespace imctl::user
