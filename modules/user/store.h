// The module's collections of imctl.storage.v1.Records, typed. From any thread; coroutines go on on
// a thread of the storage's, which they must leave soon.
//
// Errors are those that a caller of this module may see: what is wrong between this module and the
// storage is UNAVAILABLE, in words.
#ifndef IMCTL_USER_STORE_H
#define IMCTL_USER_STORE_H

#include <atomic>
#include <chrono>
#include <optional>
#include <string>

#include "imctl/client.h"
#include "imctl/storage/v1/mailboxes.pb.h"
#include "imctl/storage/v1/records.pb.h"

namespace imctl::user {

constexpr char kUsers[] = "users";
constexpr char kCredentials[] = "credentials";
constexpr char kTokens[] = "tokens";
constexpr char kTombstones[] = "tombstones";
constexpr char kLastSeen[] = "last_seen";

// The most writes of a Commit, and records of a page: below any back end's max_batch.
constexpr int kPage = 200;

// A record and its revision.
template <class T>
struct Kept {
  T value;
  uint64_t revision = 0;
};

class Store {
 public:
  explicit Store(const Host& host);

  void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout.count(); }

  // Nothing: there is no such record.
  template <class T>
  Task<Result<std::optional<Kept<T>>>> get(std::string collection, std::string key) {
    storage::v1::GetRecordRequest request;
    request.set_collection(std::move(collection));
    request.set_key(std::move(key));
    CallOptions options = call_options();
    Result<storage::v1::Record> record = co_await get_(request, options);
    if (!record.ok()) {
      if (record.status().code() == IMCTL_NOT_FOUND) co_return std::optional<Kept<T>>();
      co_return unavailable(record.status());
    }
    Kept<T> kept;
    if (!kept.value.ParseFromString(record->value())) co_return damaged(request);
    kept.revision = record->revision();
    co_return std::optional<Kept<T>>(std::move(kept));
  }

  Task<Result<storage::v1::ListRecordsResponse>> list(storage::v1::ListRecordsRequest request);

  // ALREADY_EXISTS, NOT_FOUND and FAILED_PRECONDITION: a condition does not hold.
  Task<Result<storage::v1::CommitResponse>> commit(storage::v1::CommitRequest request);
  // Removes records of a collection, and gives how many were there.
  Task<Result<uint64_t>> remove(std::string collection, std::vector<std::string> keys);

  // Messages of a user; nothing if there is no mailbox, or no module that has any.
  Task<Result<std::optional<storage::v1::ReadResponse>>> read_mailbox(std::string name,
                                                                      uint64_t after,
                                                                      uint32_t limit);
  // Whether there was one.
  Task<Result<bool>> delete_mailbox(std::string name);

  CallOptions call_options() const {
    CallOptions options;
    options.timeout = std::chrono::milliseconds(timeout_.load());
    return options;
  }
  // What a failure of the storage is to whoever calls this module.
  static Status unavailable(const Status& status);

 private:
  static Status damaged(const storage::v1::GetRecordRequest& request);

  Method<storage::v1::GetRecordRequest, storage::v1::Record> get_;
  Method<storage::v1::ListRecordsRequest, storage::v1::ListRecordsResponse> list_;
  Method<storage::v1::CommitRequest, storage::v1::CommitResponse> commit_;
  Method<storage::v1::DeleteRecordRequest, storage::v1::DeleteRecordResponse> delete_;
  Method<storage::v1::ReadRequest, storage::v1::ReadResponse> read_mailbox_;
  Method<storage::v1::DeleteMailboxRequest, storage::v1::DeleteMailboxResponse> delete_mailbox_;
  std::atomic<int64_t> timeout_{10000};
};

// Writes to put into a Commit.
storage::v1::PutRecordRequest* add_put(storage::v1::CommitRequest* to, const char* collection,
                                       const std::string& key, std::string value);
storage::v1::DeleteRecordRequest* add_delete(storage::v1::CommitRequest* to, const char* collection,
                                             const std::string& key, uint64_t revision);
void add_index(storage::v1::PutRecordRequest* to, std::string name, std::string value);

// Was a Commit refused because of what is stored, so that looking again may help?
inline bool is_conflict(const Status& status) {
  return status.code() == IMCTL_FAILED_PRECONDITION || status.code() == IMCTL_ALREADY_EXISTS ||
         status.code() == IMCTL_NOT_FOUND;
}

// How often a change is tried again when others change the same.
constexpr int kTries = 10;
inline Status too_busy() {
  return {IMCTL_ABORTED, "others keep changing the same user: try again"};
}

// Seconds since 1970, now, and in the form in which an index sorts them.
int64_t unix_now();
std::string sortable(int64_t seconds);

}  // namespace imctl::user

#endif  // IMCTL_USER_STORE_H
