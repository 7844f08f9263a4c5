#include "store.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace imctl::user {

using storage::v1::CommitRequest;
using storage::v1::CommitResponse;

Store::Store(const Host& host)
    : get_(host, "/imctl.storage.v1.Records/Get"),
      list_(host, "/imctl.storage.v1.Records/List"),
      commit_(host, "/imctl.storage.v1.Records/Commit"),
      delete_(host, "/imctl.storage.v1.Records/Delete"),
      read_mailbox_(host, "/imctl.storage.v1.Mailboxes/Read"),
      delete_mailbox_(host, "/imctl.storage.v1.Mailboxes/Delete") {}

Status Store::unavailable(const Status& status) {
  switch (status.code()) {
    case IMCTL_RESOURCE_EXHAUSTED:
    case IMCTL_DATA_LOSS: return status;
    case IMCTL_DEADLINE_EXCEEDED:
      return {IMCTL_UNAVAILABLE,
              "the storage of users did not answer in time (storage_timeout in section [user]): "
              "try again"};
    default:
      return {IMCTL_UNAVAILABLE, "users cannot be looked up just now: " + status.message(),
              status.details()};
  }
}

Status Store::damaged(const storage::v1::GetRecordRequest& request) {
  return {IMCTL_DATA_LOSS, "record \"" + request.key() + "\" of collection user/" +
                               request.collection() +
                               " is not what this module wrote: restore it from a backup"};
}

Task<Result<storage::v1::ListRecordsResponse>> Store::list(
    storage::v1::ListRecordsRequest request) {
  CallOptions options = call_options();
  Result<storage::v1::ListRecordsResponse> page = co_await list_(request, options);
  if (!page.ok()) co_return unavailable(page.status());
  co_return std::move(*page);
}

Task<Result<CommitResponse>> Store::commit(CommitRequest request) {
  CallOptions options = call_options();
  Result<CommitResponse> done = co_await commit_(request, options);
  if (!done.ok() && !is_conflict(done.status())) co_return unavailable(done.status());
  co_return std::move(done);
}

Task<Result<uint64_t>> Store::remove(std::string collection, std::vector<std::string> keys) {
  if (keys.empty()) co_return uint64_t{0};
  CommitRequest all;
  for (const std::string& key : keys) add_delete(&all, collection.c_str(), key, 0);
  Result<CommitResponse> done = co_await commit(all);
  if (done.ok()) co_return uint64_t{keys.size()};
  if (!is_conflict(done.status())) co_return done.status();
  // Somebody else, another host perhaps, removes the same.
  uint64_t removed = 0;
  for (const std::string& key : keys) {
    storage::v1::DeleteRecordRequest request;
    request.set_collection(collection);
    request.set_key(key);
    CallOptions options = call_options();
    Result<storage::v1::DeleteRecordResponse> one = co_await delete_(request, options);
    if (one.ok()) {
      ++removed;
    } else if (one.status().code() != IMCTL_NOT_FOUND) {
      co_return unavailable(one.status());
    }
  }
  co_return removed;
}

Task<Result<std::optional<storage::v1::ReadResponse>>> Store::read_mailbox(std::string name,
                                                                           uint64_t after,
                                                                           uint32_t limit) {
  using Page = std::optional<storage::v1::ReadResponse>;
  storage::v1::ReadRequest request;
  request.set_mailbox(std::move(name));
  request.set_after(after);
  request.set_limit(limit);
  CallOptions options = call_options();
  Result<storage::v1::ReadResponse> page = co_await read_mailbox_(request, options);
  if (!page.ok()) {
    if (page.status().code() == IMCTL_UNIMPLEMENTED) co_return Page();
    co_return unavailable(page.status());
  }
  if (page->epoch() == 0) co_return Page();
  co_return Page(std::move(*page));
}

Task<Result<bool>> Store::delete_mailbox(std::string name) {
  storage::v1::DeleteMailboxRequest request;
  request.set_mailbox(std::move(name));
  CallOptions options = call_options();
  Result<storage::v1::DeleteMailboxResponse> done = co_await delete_mailbox_(request, options);
  if (done.ok()) co_return true;
  if (done.status().code() == IMCTL_NOT_FOUND || done.status().code() == IMCTL_UNIMPLEMENTED) {
    co_return false;
  }
  co_return unavailable(done.status());
}

storage::v1::PutRecordRequest* add_put(CommitRequest* to, const char* collection,
                                       const std::string& key, std::string value) {
  storage::v1::PutRecordRequest* put = to->add_writes()->mutable_put();
  put->set_collection(collection);
  put->set_key(key);
  put->set_value(std::move(value));
  return put;
}

storage::v1::DeleteRecordRequest* add_delete(CommitRequest* to, const char* collection,
                                             const std::string& key, uint64_t revision) {
  storage::v1::DeleteRecordRequest* erase = to->add_writes()->mutable_delete_();
  erase->set_collection(collection);
  erase->set_key(key);
  erase->set_revision(revision);
  return erase;
}

void add_index(storage::v1::PutRecordRequest* to, std::string name, std::string value) {
  storage::v1::IndexEntry* entry = to->add_indexes();
  entry->set_name(std::move(name));
  entry->set_value(std::move(value));
}

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string sortable(int64_t seconds) {
  char digits[24];
  std::snprintf(digits, sizeof(digits), "%015lld",
                static_cast<long long>(std::max<int64_t>(seconds, 0)));
  return digits;
}

}  // namespace imctl::user
