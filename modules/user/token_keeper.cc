#include "token_keeper.h"

#include <algorithm>
#include <utility>

namespace imctl::user {
namespace {

storage::v1::ListRecordsRequest by_user(const std::string& address) {
  storage::v1::ListRecordsRequest request;
  request.set_collection(kTokens);
  request.mutable_index()->set_name("user");
  request.mutable_index()->set_value(address);
  request.set_limit(kPage);
  return request;
}

}  // namespace

Task<Result<std::vector<StoredToken>>> tokens_of(Store* store, std::string address) {
  std::vector<StoredToken> all;
  storage::v1::ListRecordsRequest request = by_user(address);
  const int64_t now = unix_now();
  for (;;) {
    Result<storage::v1::ListRecordsResponse> page = co_await store->list(request);
    if (!page.ok()) co_return page.status();
    for (const storage::v1::Record& record : page->records()) {
      StoredToken token;
      if (token.ParseFromString(record.value()) && token.expires() > now) {
        all.push_back(std::move(token));
      }
    }
    if (page->next_page_token().empty()) break;
    request.set_page_token(page->next_page_token());
  }
  std::sort(all.begin(), all.end(), [](const StoredToken& a, const StoredToken& b) {
    return std::pair(a.expires(), a.id()) < std::pair(b.expires(), b.id());
  });
  co_return all;
}

Task<Result<MadeToken>> make_token(Store* store, NewToken wanted) {
  Result<std::vector<StoredToken>> all = co_await tokens_of(store, wanted.user);
  if (!all.ok()) co_return all.status();
  std::vector<std::string> ending;
  if (wanted.login && !wanted.device.empty()) {
    for (const StoredToken& token : *all) {
      if (token.device() == wanted.device) ending.push_back(token.id());
    }
  }
  if (all->size() - ending.size() >= wanted.most) {
    if (!wanted.login) {
      co_return Status(
          IMCTL_RESOURCE_EXHAUSTED,
          "user " + wanted.user + " has " + std::to_string(all->size()) +
              " tokens: revoke one (`imctl token list`), or raise max_tokens in section [user]");
    }
    size_t over = all->size() - ending.size() - wanted.most + 1;
    for (const StoredToken& token : *all) {
      if (over == 0) break;
      if (std::find(ending.begin(), ending.end(), token.id()) != ending.end()) continue;
      ending.push_back(token.id());
      --over;
    }
  }
  const int64_t now = unix_now();
  MadeToken made{TokenText::make(), now + wanted.lifetime};
  StoredToken kept;
  kept.set_id(made.text.id);
  kept.set_user(wanted.user);
  kept.set_uid(wanted.uid);
  kept.set_hash(token_hash(made.text.secret));
  kept.set_device(wanted.device);
  for (const std::string& entry : wanted.scope) kept.add_scope(entry);
  kept.set_created(now);
  kept.set_expires(made.expires);
  kept.set_created_by(wanted.created_by);
  storage::v1::CommitRequest write;
  storage::v1::PutRecordRequest* put =
      add_put(&write, kTokens, kept.id(), kept.SerializeAsString());
  put->set_create(true);
  add_index(put, "user", kept.user());
  add_index(put, "expires", sortable(kept.expires()));
  Result<storage::v1::CommitResponse> done = co_await store->commit(std::move(write));
  if (!done.ok()) co_return Store::unavailable(done.status());
  // Behind it: a login that fails must not end what works.
  Result<uint64_t> ended = co_await store->remove(kTokens, std::move(ending));
  if (!ended.ok()) co_return ended.status();
  co_return made;
}

Task<Result<uint64_t>> remove_tokens(Store* store, std::string address, std::string but) {
  uint64_t removed = 0;
  storage::v1::ListRecordsRequest request = by_user(address);
  request.set_keys_only(true);
  for (;;) {
    Result<storage::v1::ListRecordsResponse> page = co_await store->list(request);
    if (!page.ok()) co_return page.status();
    std::vector<std::string> ids;
    for (const storage::v1::Record& record : page->records()) {
      if (record.key() != but) ids.push_back(record.key());
    }
    Result<uint64_t> some = co_await store->remove(kTokens, std::move(ids));
    if (!some.ok()) co_return some.status();
    removed += *some;
    if (page->next_page_token().empty()) co_return removed;
    request.set_page_token(page->next_page_token());
  }
}

Task<Result<uint64_t>> remove_expired_tokens(Store* store, int64_t now) {
  storage::v1::ListRecordsRequest request;
  request.set_collection(kTokens);
  request.mutable_index()->set_name("expires");
  request.set_index_prefix(true);
  request.set_limit(kPage);
  Result<storage::v1::ListRecordsResponse> page = co_await store->list(request);
  if (!page.ok()) co_return page.status();
  std::vector<std::string> ids;
  for (const storage::v1::Record& record : page->records()) {
    StoredToken token;
    // What cannot be read works no more.
    if (!token.ParseFromString(record.value()) || token.expires() <= now)
      ids.push_back(record.key());
  }
  Result<uint64_t> removed = co_await store->remove(kTokens, std::move(ids));
  co_return removed;
}

}  // namespace imctl::user
