// imctl.storage.v1.Records.
#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "storage_module.h"
#include "watch.h"

namespace imctl::storage {
namespace {

constexpr size_t kMaxKey = 1024;
constexpr size_t kMaxCollection = 64;
constexpr size_t kMaxIndexName = 64;
constexpr size_t kMaxIndexValue = 1024;
constexpr int kMaxIndexes = 64;

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxCollection &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '.';
         });
}

bool covers(const Grant& grant, std::string_view module, std::string_view collection) {
  if (grant.module != module) return false;
  if (grant.collection == collection) return true;
  std::string_view all = grant.collection;
  // OWNER/* is all of the owner's.
  return all.substr(all.size() - 2) == "/*" &&
         collection.substr(0, all.size() - 1) == all.substr(0, all.size() - 1);
}

Status check_key(const std::string& key) {
  if (!key.empty() && key.size() <= kMaxKey) return {};
  return bad("key is " + std::string(key.empty() ? "empty" : "too long") + ": 1 to " +
             std::to_string(kMaxKey) + " bytes name a record");
}

void fill(RecordRow&& from, v1::Record* to) {
  to->set_key(std::move(from.key));
  to->set_value(std::move(from.value));
  to->set_revision(from.revision);
  for (RecordIndex& index : from.indexes) {
    v1::IndexEntry* entry = to->add_indexes();
    entry->set_name(std::move(index.name));
    entry->set_value(std::move(index.value));
  }
}

// A page token is the last record's place: its key, behind the size and bytes of the entry's value
// if the list is by an index.
std::string token_of(const RecordPage& page, bool by_index) {
  std::string token = page.records.back().key;
  if (!by_index) return token;
  const std::string& value = page.values.back();
  return std::to_string(value.size()) + ":" + value + token;
}

bool read_token(const std::string& token, bool by_index, RecordQuery* query) {
  if (token.empty() || !by_index) {
    query->after_key = token;
    return true;
  }
  size_t colon = token.find(':');
  if (colon == 0 || colon == std::string::npos || colon > 4 ||
      token.find_first_not_of("0123456789") != colon) {
    return false;
  }
  size_t size = std::stoul(token.substr(0, colon));
  if (token.size() - colon - 1 <= size) return false;
  query->after_value = token.substr(colon + 1, size);
  query->after_key = token.substr(colon + 1 + size);
  return true;
}

}  // namespace

void StorageModule::register_records() {
  serve("/imctl.storage.v1.Records/Get", &StorageModule::get_record);
  serve("/imctl.storage.v1.Records/Put", &StorageModule::put_record);
  serve("/imctl.storage.v1.Records/Delete", &StorageModule::delete_record);
  serve("/imctl.storage.v1.Records/List", &StorageModule::list_records);
  serve("/imctl.storage.v1.Records/Watch", &StorageModule::watch_records);
  serve("/imctl.storage.v1.Records/Commit", &StorageModule::commit_records);
  serve("/imctl.storage.v1.Records/Collections", &StorageModule::collections);
}

Result<std::string> StorageModule::collection(const Context& context,
                                              const std::string& name) const {
  const std::string caller(context.caller_module());
  size_t slash = name.find('/');
  if (slash == std::string::npos) {
    if (!is_name(name)) {
      return bad("collection \"" + name.substr(0, kMaxCollection) +
                 "\" is no name: 1 to 64 letters, digits, '.', '_' and '-'");
    }
    if (!caller.empty()) return caller + "/" + name;
    return bad("collection \"" + name + "\": whose? Name it MODULE/COLLECTION");
  }
  if (!is_name(std::string_view(name).substr(0, slash)) ||
      !is_name(std::string_view(name).substr(slash + 1))) {
    return bad("collection \"" + name.substr(0, 2 * kMaxCollection) +
               "\" is no name: write MODULE/COLLECTION, each of 1 to 64 letters, digits, '.', '_' "
               "and '-'");
  }
  if (caller.empty() || name.compare(0, slash, caller) == 0) return name;
  for (const Grant& grant : settings_.grants) {
    if (covers(grant, caller, name)) return name;
  }
  return Status(IMCTL_PERMISSION_DENIED, "module " + caller + " may not use collection " + name +
                                             ": add \"" + caller + "=" + name +
                                             "\" to record_grants of the storage module");
}

Result<RecordWrite> StorageModule::to_write(const Context& context,
                                            const v1::PutRecordRequest& request) const {
  Result<std::string> name = collection(context, request.collection());
  if (!name.ok()) return name.status();
  if (Status status = check_key(request.key()); !status.ok()) return status;
  if (request.value().size() > settings_.max_message) {
    return bad("value: " + std::to_string(request.value().size()) +
               " bytes are more than max_message, " + std::to_string(settings_.max_message));
  }
  if (request.indexes_size() > kMaxIndexes) {
    return bad("indexes: a record has at most " + std::to_string(kMaxIndexes));
  }
  RecordWrite write;
  write.collection = *name;
  write.key = request.key();
  write.value = request.value();
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const v1::IndexEntry& entry : request.indexes()) {
    if (entry.name().empty() || entry.name().size() > kMaxIndexName ||
        entry.value().size() > kMaxIndexValue) {
      return bad("indexes: a name has 1 to " + std::to_string(kMaxIndexName) +
                 " bytes, a value at most " + std::to_string(kMaxIndexValue));
    }
    if (!seen.emplace(entry.name(), entry.value()).second) continue;
    write.indexes.push_back({entry.name(), entry.value()});
  }
  if (request.condition_case() == v1::PutRecordRequest::kRevision && request.revision() == 0) {
    return bad("revision: no record has 0; for one that is not there, set create");
  }
  write.create = request.create();
  write.revision = request.revision();
  return write;
}

Result<RecordWrite> StorageModule::to_write(const Context& context,
                                            const v1::DeleteRecordRequest& request) const {
  Result<std::string> name = collection(context, request.collection());
  if (!name.ok()) return name.status();
  if (Status status = check_key(request.key()); !status.ok()) return status;
  RecordWrite write;
  write.collection = *name;
  write.key = request.key();
  write.erase = true;
  write.revision = request.revision();
  return write;
}

Result<v1::Record> StorageModule::get_record(const v1::GetRecordRequest& request,
                                             const Context& context) {
  if (Status status = ready(); !status.ok()) return status;
  Result<std::string> name = collection(context, request.collection());
  if (!name.ok()) return name.status();
  if (Status status = check_key(request.key()); !status.ok()) return status;
  Result<std::optional<RecordRow>> found = engine_->get_record(*name, request.key());
  if (!found.ok()) return found.status();
  if (!*found) {
    return Status(IMCTL_NOT_FOUND,
                  "there is no record \"" + request.key() + "\" in collection " + *name);
  }
  v1::Record record;
  fill(std::move(**found), &record);
  return record;
}

void StorageModule::put_record(const v1::PutRecordRequest& request, const Context& context,
                               Responder<v1::PutRecordResponse> responder) {
  Result<RecordWrite> write = to_write(context, request);
  if (!write.ok()) return responder.finish(write.status());
  CommitRecords work;
  work.writes.push_back(std::move(*write));
  writer_->submit(std::move(work),
                  [responder = std::move(responder)](const Status& status,
                                                     const CommitRecords& done, uint64_t) mutable {
                    if (!status.ok()) return responder.finish(status);
                    if (!done.outcome.ok()) return responder.finish(done.outcome);
                    v1::PutRecordResponse response;
                    response.set_revision(done.revisions[0]);
                    responder.finish(response);
                  });
}

void StorageModule::delete_record(const v1::DeleteRecordRequest& request, const Context& context,
                                  Responder<v1::DeleteRecordResponse> responder) {
  Result<RecordWrite> write = to_write(context, request);
  if (!write.ok()) return responder.finish(write.status());
  CommitRecords work;
  work.writes.push_back(std::move(*write));
  writer_->submit(std::move(work),
                  [responder = std::move(responder)](const Status& status,
                                                     const CommitRecords& done, uint64_t) mutable {
                    if (!status.ok()) return responder.finish(status);
                    if (!done.outcome.ok()) return responder.finish(done.outcome);
                    v1::DeleteRecordResponse response;
                    response.set_revision(done.revisions[0]);
                    responder.finish(response);
                  });
}

void StorageModule::commit_records(const v1::CommitRequest& request, const Context& context,
                                   Responder<v1::CommitResponse> responder) {
  if (Status status = check_count(static_cast<size_t>(request.writes_size()), "writes");
      !status.ok()) {
    return responder.finish(status);
  }
  if (request.writes().empty()) return responder.finish(v1::CommitResponse());
  CommitRecords work;
  for (const v1::Write& one : request.writes()) {
    const std::string at = "writes[" + std::to_string(work.writes.size()) + "]: ";
    if (one.write_case() == v1::Write::WRITE_NOT_SET) {
      return responder.finish(bad(at + "neither put nor delete"));
    }
    Result<RecordWrite> write =
        one.has_put() ? to_write(context, one.put()) : to_write(context, one.delete_());
    if (!write.ok()) {
      return responder.finish(Status(write.status().code(), at + write.status().message()));
    }
    work.writes.push_back(std::move(*write));
  }
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const RecordWrite& write : work.writes) {
    if (!seen.emplace(write.collection, write.key).second) {
      return responder.finish(bad("two writes of the record \"" + write.key + "\" in collection " +
                                  write.collection + ": one transaction writes it once"));
    }
  }
  writer_->submit(std::move(work), [responder = std::move(responder)](const Status& status,
                                                                      const CommitRecords& done,
                                                                      uint64_t) mutable {
    if (!status.ok()) return responder.finish(status);
    if (!done.outcome.ok()) {
      return responder.finish(Status(done.outcome.code(), "writes[" + std::to_string(done.failed) +
                                                              "]: " + done.outcome.message()));
    }
    v1::CommitResponse response;
    response.mutable_revisions()->Add(done.revisions.begin(), done.revisions.end());
    responder.finish(response);
  });
}

Result<v1::ListRecordsResponse> StorageModule::list_records(const v1::ListRecordsRequest& request,
                                                            const Context& context) {
  if (Status status = ready(); !status.ok()) return status;
  Result<std::string> name = collection(context, request.collection());
  if (!name.ok()) return name.status();
  RecordQuery query;
  query.collection = *name;
  query.prefix = request.prefix();
  if (request.has_index()) {
    if (!request.prefix().empty()) return bad("prefix and index: give one of them");
    if (request.index().name().empty()) return bad("index.name is empty");
    query.index = {request.index().name(), request.index().value()};
    query.index_prefix = request.index_prefix();
  }
  if (!read_token(request.page_token(), request.has_index(), &query)) {
    return bad("page_token is none that was answered for this list");
  }
  if (!request.after().empty()) {
    if (request.index_prefix()) return bad("after and index_prefix: give one of them");
    if (!request.page_token().empty()) return bad("after and page_token: give one of them");
    query.after_key = request.after();
    query.after_value = request.index().value();
  }
  query.limit = limit(request.limit());
  query.max_bytes = page_bytes();
  query.keys_only = request.keys_only();
  Result<RecordPage> page = engine_->list_records(query);
  if (!page.ok()) return page.status();
  v1::ListRecordsResponse response;
  response.set_revision(page->revision);
  if (page->more) response.set_next_page_token(token_of(*page, request.has_index()));
  for (RecordRow& row : page->records) fill(std::move(row), response.add_records());
  return response;
}

Task<Status> StorageModule::watch_records(const v1::WatchRecordsRequest& request,
                                          imctl::Writer<v1::Change>& writer) {
  Result<std::string> name = collection(writer.context(), request.collection());
  if (!name.ok()) co_return name.status();
  uint64_t after = request.after();
  auto look = [&](std::vector<v1::Change>* found) -> Status {
    while (found->empty()) {
      if (Status status = ready(); !status.ok()) return status;
      Result<ChangePage> page = engine_->changes(*name, after, settings_.max_batch, watch_bytes());
      if (!page.ok()) return page.status();
      if (after < page->compacted || after > page->revision) {
        return {IMCTL_OUT_OF_RANGE, "the writes of collection " + *name + " after revision " +
                                        std::to_string(after) + " are not known (those after " +
                                        std::to_string(page->compacted) + " are, up to " +
                                        std::to_string(page->revision) +
                                        "): list it again and watch from that list's revision"};
      }
      for (RecordChange& change : page->changes) {
        if (change.record.key.compare(0, request.prefix().size(), request.prefix()) != 0) continue;
        v1::Change& out = found->emplace_back();
        out.set_revision(change.revision);
        out.set_deleted(change.deleted);
        fill(std::move(change.record), out.mutable_record());
      }
      after = page->upto;
      if (after >= page->revision) break;
    }
    return {};
  };
  co_return co_await watch(&watchers_, Watchers::Kind::kCollection, *name, host(), writer, look);
}

Result<v1::CollectionsResponse> StorageModule::collections(
    const v1::CollectionsRequest& /*request*/, const Context& context) {
  if (Status status = ready(); !status.ok()) return status;
  Result<std::vector<CollectionState>> found = engine_->collections();
  if (!found.ok()) return found.status();
  v1::CollectionsResponse response;
  for (CollectionState& state : *found) {
    if (!collection(context, state.collection).ok()) continue;  // a module sees what it may use
    v1::Collection* out = response.add_collections();
    out->set_collection(std::move(state.collection));
    out->set_revision(state.revision);
    out->set_watchable_from(state.compacted);
  }
  return response;
}

}  // namespace imctl::storage
