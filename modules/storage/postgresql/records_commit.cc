// Writing records. What is there is read under the collections' locks; then all writes are worked
// out here, and what comes of them is sent together.
#include <map>
#include <set>
#include <utility>

#include "records.h"

namespace imctl::storage {
namespace {

struct Collection {
  int64_t id = 0;
  uint64_t revision = 0;
  uint64_t found_revision = 0;
};

struct State {
  bool there = false;
  uint64_t revision = 0;
  bool found = false;                      // before this commit,
  std::vector<RecordIndex> found_indexes;  // with these
  const RecordWrite* last = nullptr;       // of this commit
};
using Name = std::pair<std::string_view, std::string_view>;  // collection, key

struct Change {
  int64_t collection;
  uint64_t revision;
  std::string_view key;
  bool deleted;
};

std::string describe(const RecordWrite& write) {
  return "the record \"" + write.key + "\" of " + write.collection;
}

class Committing {
 public:
  Committing(Transaction* txn, std::span<CommitRecords* const> works)
      : txn_(txn), db_(txn->db), works_(works) {}

  void run() {
    read();
    for (CommitRecords* work : works_) {
      work->outcome = Status();
      work->failed = 0;
      work->revisions.clear();
      apply(work);
    }
    write();
  }

 private:
  void read() {
    for (CommitRecords* work : works_) {
      for (const RecordWrite& write : work->writes) {
        collections_.try_emplace(write.collection);
        states_.try_emplace({write.collection, write.key});
      }
    }
    Array names(Type::kBytes);
    for (const auto& [name, collection] : collections_) names.add(name);
    db_->queue(
        "INSERT INTO collections AS c (name, revision, compacted) SELECT unnest($1::bytea[]), 0, 0"
        " ON CONFLICT (name) DO UPDATE SET revision = c.revision RETURNING name, id, revision",
        Params::of(std::move(names)));
    Array owners(Type::kBytes);
    Array keys(Type::kBytes);
    for (const auto& [name, state] : states_) {
      owners.add(name.first);
      keys.add(name.second);
    }
    db_->queue(
        "SELECT t.name, r.key, r.revision, r.indexes FROM unnest($1::bytea[], $2::bytea[])"
        " AS t (name, key) JOIN collections c ON c.name = t.name"
        " JOIN records r ON r.collection = c.id AND r.key = t.key",
        Params::of(std::move(owners), std::move(keys)));
    const std::vector<Rows> answers = db_->run();
    const Rows& collections = answers[answers.size() - 2];
    for (size_t i = 0; i < collections.size(); ++i) {
      const uint64_t revision = collections.natural(i, 2);
      collections_.at(collections.bytes(i, 0)) = {collections.number(i, 1), revision, revision};
    }
    const Rows& records = answers.back();
    for (size_t i = 0; i < records.size(); ++i) {
      State& state = states_.at({records.bytes(i, 0), records.bytes(i, 1)});
      state.there = state.found = true;
      state.revision = records.natural(i, 2);
      state.found_indexes = unpack_indexes(records.bytes(i, 3));
    }
  }

  static Status check(const RecordWrite& write, const State& state) {
    if (write.create && state.there) {
      return {IMCTL_ALREADY_EXISTS, describe(write) + " is there already, with revision " +
                                        std::to_string(state.revision)};
    }
    if (write.erase && !state.there) {
      return {IMCTL_NOT_FOUND, describe(write) + " is not there"};
    }
    if (write.revision != 0 && (!state.there || state.revision != write.revision)) {
      return {IMCTL_FAILED_PRECONDITION,
              describe(write) +
                  (state.there ? " has revision " + std::to_string(state.revision) + ", not "
                               : std::string(" is not there with revision ")) +
                  std::to_string(write.revision) + ": read it again"};
    }
    return {};
  }

  void apply(CommitRecords* work) {
    for (size_t i = 0; i < work->writes.size(); ++i) {
      const RecordWrite& write = work->writes[i];
      Status status = check(write, states_.at({write.collection, write.key}));
      if (status.ok()) continue;
      work->outcome = std::move(status);
      work->failed = i;
      return;
    }
    for (const RecordWrite& write : work->writes) {
      Collection& collection = collections_.at(write.collection);
      State& state = states_.at({write.collection, write.key});
      state.there = !write.erase;
      state.revision = ++collection.revision;
      state.last = &write;
      work->revisions.push_back(state.revision);
      changes_.push_back({collection.id, state.revision, write.key, write.erase});
    }
  }

  void write() {
    if (changes_.empty()) {
      // Nothing came of it: a collection that was made for it is not to be seen.
      return;
    }
    write_records();
    write_indexes();
    Array ids(Type::kInt8);
    Array revisions(Type::kInt8);
    Array keys(Type::kBytes);
    Array deleted(Type::kBool);
    for (const Change& change : changes_) {
      ids.add(change.collection);
      revisions.add(change.revision);
      keys.add(change.key);
      deleted.add(change.deleted);
    }
    db_->queue(
        "INSERT INTO changes (collection, revision, key, deleted) SELECT unnest($1::int8[]),"
        " unnest($2::int8[]), unnest($3::bytea[]), unnest($4::bool[])",
        Params::of(std::move(ids), std::move(revisions), std::move(keys), std::move(deleted)));
    for (const auto& [name, collection] : collections_) {
      if (collection.revision == collection.found_revision) continue;
      const uint64_t history = txn_->retention.changes;
      const uint64_t compacted = collection.revision > history ? collection.revision - history : 0;
      db_->queue(
          "UPDATE collections SET revision = $2::int8, compacted = greatest(compacted, $3::int8)"
          " WHERE id = $1::int8",
          Params::of(collection.id, collection.revision, compacted));
      if (compacted > 0) {
        db_->queue("DELETE FROM changes WHERE collection = $1::int8 AND revision <= $2::int8",
                   Params::of(collection.id, compacted));
      }
      txn_->notices.add(Watchers::Kind::kCollection, name);
    }
  }

  void write_records() {
    Array ids(Type::kInt8);
    Array keys(Type::kBytes);
    Array revisions(Type::kInt8);
    Array indexes(Type::kBytes);
    Array values(Type::kBytes);
    Array gone_ids(Type::kInt8);
    Array gone_keys(Type::kBytes);
    for (const auto& [name, state] : states_) {
      if (state.last == nullptr) continue;
      const int64_t id = collections_.at(name.first).id;
      if (state.there) {
        ids.add(id);
        keys.add(name.second);
        revisions.add(state.revision);
        indexes.add(pack_indexes(state.last->indexes));
        values.add(state.last->value);
      } else if (state.found) {
        gone_ids.add(id);
        gone_keys.add(name.second);
      }
    }
    if (!ids.empty()) {
      db_->queue(
          "INSERT INTO records (collection, key, revision, indexes, value)"
          " SELECT unnest($1::int8[]), unnest($2::bytea[]), unnest($3::int8[]),"
          " unnest($4::bytea[]), unnest($5::bytea[])"
          " ON CONFLICT (collection, key) DO UPDATE SET revision = excluded.revision,"
          " indexes = excluded.indexes, value = excluded.value",
          Params::of(std::move(ids), std::move(keys), std::move(revisions), std::move(indexes),
                     std::move(values)));
    }
    if (!gone_ids.empty()) {
      db_->queue(
          "DELETE FROM records r USING unnest($1::int8[], $2::bytea[]) AS t (collection, key)"
          " WHERE r.collection = t.collection AND r.key = t.key",
          Params::of(std::move(gone_ids), std::move(gone_keys)));
    }
  }

  void write_indexes() {
    struct Arrays {
      Array ids{Type::kInt8};
      Array names{Type::kBytes};
      Array values{Type::kBytes};
      Array keys{Type::kBytes};
      Params take() {
        return Params::of(std::move(ids), std::move(names), std::move(values), std::move(keys));
      }
    };
    using Entries = std::set<std::pair<std::string_view, std::string_view>>;
    auto entries = [](const std::vector<RecordIndex>& indexes) {
      Entries all;
      for (const RecordIndex& index : indexes) all.emplace(index.name, index.value);
      return all;
    };
    Arrays gone;
    Arrays come;
    for (const auto& [name, state] : states_) {
      if (state.last == nullptr) continue;
      const int64_t id = collections_.at(name.first).id;
      const Entries before = entries(state.found_indexes);
      const Entries after = state.there ? entries(state.last->indexes) : Entries();
      const auto& key = name.second;
      auto add = [&](const auto& entry, Arrays* to) {
        to->ids.add(id);
        to->names.add(entry.first);
        to->values.add(entry.second);
        to->keys.add(key);
      };
      for (const auto& entry : before) {
        if (!after.contains(entry)) add(entry, &gone);
      }
      for (const auto& entry : after) {
        if (!before.contains(entry)) add(entry, &come);
      }
    }
    if (!gone.ids.empty()) {
      db_->queue(
          "DELETE FROM indexes i USING unnest($1::int8[], $2::bytea[], $3::bytea[], $4::bytea[])"
          " AS t (collection, name, value, key) WHERE i.collection = t.collection"
          " AND i.name = t.name AND i.value = t.value AND i.key = t.key",
          gone.take());
    }
    if (!come.ids.empty()) {
      db_->queue(
          "INSERT INTO indexes (collection, name, value, key) SELECT unnest($1::int8[]),"
          " unnest($2::bytea[]), unnest($3::bytea[]), unnest($4::bytea[])",
          come.take());
    }
  }

  Transaction* const txn_;
  Connection* const db_;
  const std::span<CommitRecords* const> works_;
  std::map<std::string_view, Collection> collections_;  // in the order of locking
  std::map<Name, State> states_;
  std::vector<Change> changes_;
};

}  // namespace

void commit_records(Transaction* txn, std::span<CommitRecords* const> works) {
  Committing(txn, works).run();
}

}  // namespace imctl::storage
