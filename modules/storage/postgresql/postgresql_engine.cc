#include "postgresql_engine.h"

#include <algorithm>
#include <random>
#include <thread>
#include <utility>

#include "load.h"
#include "mailboxes.h"
#include "records.h"
#include "snapshot.h"

namespace imctl::storage {
namespace {

// How often a transaction that others are in the way of is run.
constexpr int kTries = 8;

void pause(int tries) {
  thread_local std::minstd_rand random{std::random_device()()};
  std::uniform_int_distribution<int> some(1, 5 << std::min(tries, 4));
  std::this_thread::sleep_for(std::chrono::milliseconds(some(random)));
}

// The writes of one kind.
template <class Kind>
std::vector<Kind*> all_of(std::span<Write* const> writes) {
  std::vector<Kind*> found;
  for (Write* write : writes) {
    if (auto* one = std::get_if<Kind>(write)) found.push_back(one);
  }
  return found;
}

// While somebody reads it, it is left to the next start, or to the next one that replaces.
void remove_replaced_if_free(Connection* db, const std::string& schema) {
  try {
    remove_replaced(db, schema);
  } catch (const Error&) {
    db->rollback();
  }
}

}  // namespace

PostgresEngine::PostgresEngine(const Options& options, const Retention& retention,
                               Watchers* watchers)
    : server_(options.target, options.readers),
      retention_(retention),
      watchers_(watchers),
      channel_(channel_of(options.target.schema)) {}

PostgresEngine::~PostgresEngine() {
  server_.stop();
  listener_.reset();
}

Result<std::unique_ptr<PostgresEngine>> PostgresEngine::open(const Options& options,
                                                             const Retention& retention,
                                                             Watchers* watchers, Log warn,
                                                             Log info) {
  std::unique_ptr<PostgresEngine> engine(new PostgresEngine(options, retention, watchers));
  try {
    engine->writer_ = engine->server_.connect();
    Connection* db = engine->writer_.get();
    migrate(db, options.target.schema, engine->name(), retention.messages);
    remove_replaced_if_free(db, options.target.schema);
    engine->database_ = read_database(db, engine->name());
    engine->loading_ = engine->database_.loading;
    engine->writer_process_ = db->process();
    if (db->query("SELECT 1 FROM pg_settings WHERE name = 'fsync' AND setting = 'off'").size() >
        0) {
      warn(engine->name() +
           " runs with fsync = off: what is acknowledged is lost if its machine fails");
    }
  } catch (const Error& error) {
    return to_status(error, engine->name());
  } catch (const Refused& refused) {
    return refused.status();
  }
  engine->listener_ =
      std::make_unique<Listener>(&engine->server_, watchers, &engine->writer_process_,
                                 &engine->loading_, std::move(warn), std::move(info));
  return engine;
}

// ---- writing

void PostgresEngine::connect_writer() {
  if (writer_ != nullptr && writer_->check()) return;
  disconnect_writer();
  writer_ = server_.connect();
  writer_process_ = writer_->process();
  const Database now = read_database(writer_.get(), name());
  if (now.secret != database_.secret) {
    throw Refused(
        {IMCTL_FAILED_PRECONDITION, name() + " is another one than before: restart the host"});
  }
  loading_ = now.loading;
}

void PostgresEngine::disconnect_writer() {
  writer_.reset();
  numbers_.forget();
}

void PostgresEngine::forget() {
  buckets_.forget();
  cleaner_.forget();
}

Status PostgresEngine::unknown_outcome(const Error& error) const {
  // What was committed after all, nobody was told of.
  watchers_->tell_all();
  return {IMCTL_UNAVAILABLE, name() + " was lost while it committed (" + error.what() +
                                 "): whether it did is not known; try again"};
}

void PostgresEngine::report(const Report& report) {
  const Server::Load load = server_.load();
  report("server", name());
  report("server_state", load.gone.empty() ? "connected" : "gone: " + load.gone);
  report("readers", std::to_string(load.readers));
  report("idle_readers", std::to_string(load.idle));
}

Status PostgresEngine::commit(std::span<Write* const> writes) {
  bool careful = false;
  for (int tries = 0;; ++tries) {
    committing_ = false;
    try {
      connect_writer();
      run(writes, careful);
      return {};
    } catch (const Refused& refused) {
      // So that it is looked at anew the next time.
      forget();
      disconnect_writer();
      return refused.status();
    } catch (const Error& error) {
      forget();
      if (error.lost() || writer_ == nullptr || !writer_->alive()) {
        // Of the many that the server may have closed, this one was only noticed now.
        const bool stale = writer_ != nullptr && tries == 0 && !committing_;
        disconnect_writer();
        if (committing_) return unknown_outcome(error);
        if (!stale) return to_status(error, name());
        continue;
      }
      writer_->rollback();
      const bool taken = error.is(kUniqueViolation);
      if (taken && !careful) {
        careful = true;
        continue;
      }
      if ((taken || error.passing()) && tries < kTries) {
        pause(tries);
        continue;
      }
      if (error.is(kLoading)) loading_ = true;
      // Maybe it is not the primary server any more.
      if (error.is(kReadOnly)) disconnect_writer();
      return to_status(error, name());
    }
  }
}

void PostgresEngine::run(std::span<Write* const> writes, bool careful) {
  Connection* db = writer_.get();
  Transaction txn{db, &database_, retention_, unix_ms(), careful, &numbers_, {}};
  if (auto* load = std::get_if<LoadSnapshot>(writes.front())) {
    load->outcome = Status();
    const bool begins = !load->items.empty() && load->items.front().begin().replace();
    if (begins || load->abandon || replacement_ != nullptr) return replace(load);
    try {
      loading_ = load_part(&txn, &buckets_, channel_, load, &load_);
    } catch (const Refused& refused) {
      db->rollback();
      forget();
      load->outcome = refused.status();
      loading_ = read_database(db, name()).loading;
    }
    return;
  }
  Bucket bucket;
  const bool puts = std::any_of(writes.begin(), writes.end(), [](const Write* write) {
    return std::holds_alternative<PutMessages>(*write);
  });
  if (puts) bucket = buckets_.at(db, txn.now, database_.bucket_ms);
  db->queue("BEGIN");
  db->queue(enter_statement());
  run_messages(&txn, writes, bucket);
  run_mailboxes(&txn, writes);
  if (auto records = all_of<CommitRecords>(writes); !records.empty()) {
    commit_records(&txn, records);
  }
  txn.notices.queue(db, channel_);
  db->queue("COMMIT");
  committing_ = true;
  db->run();
}

void PostgresEngine::run_messages(Transaction* txn, std::span<Write* const> writes,
                                  const Bucket& bucket) {
  std::vector<PutMessages*> puts;
  std::vector<DeleteMessages*> deletes;
  auto flush_puts = [&] {
    if (!puts.empty()) put_messages(txn, bucket, puts);
    puts.clear();
  };
  auto flush_deletes = [&] {
    if (!deletes.empty()) delete_messages(txn, deletes);
    deletes.clear();
  };
  for (Write* write : writes) {
    if (auto* put = std::get_if<PutMessages>(write)) {
      flush_deletes();
      puts.push_back(put);
    } else if (auto* gone = std::get_if<DeleteMessages>(write)) {
      flush_puts();
      deletes.push_back(gone);
    } else if (auto* clean = std::get_if<CleanMessages>(write)) {
      flush_puts();
      flush_deletes();
      cleaner_.run(txn, clean);
      // What a host that stopped left of mailboxes goes with it.
      if (!clean->more) clean->more = go_on_removing(txn);
    }
  }
  flush_puts();
  flush_deletes();
}

void PostgresEngine::run_mailboxes(Transaction* txn, std::span<Write* const> writes) {
  // Those who wait for an Append or an Ack wait for all of this: among them the order is free.
  std::vector<AppendMessage*> appends;
  std::vector<AckMailbox*> acks;
  auto flush = [&] {
    if (!appends.empty()) append_messages(txn, appends);
    if (!acks.empty()) ack_mailboxes(txn, acks);
    appends.clear();
    acks.clear();
  };
  for (Write* write : writes) {
    if (auto* append = std::get_if<AppendMessage>(write)) {
      appends.push_back(append);
    } else if (auto* ack = std::get_if<AckMailbox>(write)) {
      acks.push_back(ack);
    } else if (auto* cursor = std::get_if<DeleteCursor>(write)) {
      flush();
      delete_cursor(txn, cursor);
    } else if (auto* gone = std::get_if<DeleteMailbox>(write)) {
      flush();
      delete_mailbox(txn, gone);
    } else if (auto* clean = std::get_if<CleanMailboxes>(write)) {
      flush();
      clean_mailboxes(txn, clean);
    }
  }
  flush();
}

void PostgresEngine::end_replacement() {
  replacement_.reset();
  replacing_ = false;
}

void PostgresEngine::replace(LoadSnapshot* load) {
  if (load->abandon) return end_replacement();
  try {
    if (load->items.front().has_begin()) {
      end_replacement();
      replacement_ = std::make_unique<Replacement>(server_.connect(), server_.target().schema);
      replacing_ = true;
    }
    if (load->items.back().has_moved()) {
      replacement_->move(load->items.back().moved().to());
      return end_replacement();
    }
    const Transaction txn{nullptr, &database_, retention_, unix_ms(), false, &numbers_, {}};
    if (!replacement_->load(txn, channel_, *load)) return;
    forget();
    remove_replaced_if_free(replacement_->connection(), server_.target().schema);
  } catch (const Refused& refused) {
    load->outcome = refused.status();
  } catch (const Error& error) {
    numbers_.forget();
    const bool unknown = replacement_ != nullptr && replacement_->committing() && error.lost();
    load->outcome = unknown ? unknown_outcome(error) : to_status(error, name());
  }
  end_replacement();
}

// ---- reading

template <class Read>
auto PostgresEngine::read(Read what) -> Result<decltype(what(std::declval<Connection*>()))> {
  for (int tries = 0;; ++tries) {
    try {
      Server::Lease lease = server_.read();
      return what(&*lease);
    } catch (const Error& error) {
      // A connection that was closed meanwhile is no reason to give up.
      if ((error.lost() || error.passing()) && tries == 0 && !server_.stopping()) continue;
      return to_status(error, name());
    }
  }
}

bool PostgresEngine::still_loading() {
  Result<bool> loading =
      read([](Connection* db) { return db->query("SELECT loading FROM meta").number(0, 0) != 0; });
  if (loading.ok() && !*loading) loading_ = false;
  return loading_;
}

Status PostgresEngine::get_messages(std::span<const std::string_view> ids, const Found& found) {
  // What was given cannot be given again.
  bool given = false;
  const int64_t expired = unix_ms() - retention_.messages.count();
  auto result = read([&](Connection* db) {
    if (given) throw Error("", "the connection was lost while messages were read");
    storage::get_messages(db, database_.secret, expired, ids, [&](std::string_view data) {
      given = true;
      return found(data);
    });
    return true;
  });
  return result.ok() ? Status() : result.status();
}

Result<MailboxPage> PostgresEngine::read_mailbox(std::string_view mailbox, uint64_t after,
                                                 size_t limit, size_t max_bytes) {
  return read(
      [&](Connection* db) { return storage::read_mailbox(db, mailbox, after, limit, max_bytes); });
}

Result<Cursors> PostgresEngine::cursors(std::string_view mailbox) {
  return read([&](Connection* db) { return read_cursors(db, mailbox); });
}

Result<std::vector<MailboxState>> PostgresEngine::list_mailboxes(std::string_view prefix,
                                                                 std::string_view after,
                                                                 size_t limit) {
  return read([&](Connection* db) { return storage::list_mailboxes(db, prefix, after, limit); });
}

Result<std::optional<RecordRow>> PostgresEngine::get_record(std::string_view collection,
                                                            std::string_view key) {
  return read([&](Connection* db) { return storage::get_record(db, collection, key); });
}

Result<RecordPage> PostgresEngine::list_records(const RecordQuery& query) {
  return read([&](Connection* db) { return storage::list_records(db, query); });
}

Result<ChangePage> PostgresEngine::changes(std::string_view collection, uint64_t after,
                                           size_t limit, size_t max_bytes) {
  return read(
      [&](Connection* db) { return read_changes(db, collection, after, limit, max_bytes); });
}

Result<std::vector<CollectionState>> PostgresEngine::collections() {
  return read([&](Connection* db) { return read_collections(db); });
}

Result<std::unique_ptr<SnapshotReader>> PostgresEngine::dump() {
  try {
    return open_snapshot(server_.connect(), name(), unix_ms() - retention_.messages.count());
  } catch (const Error& error) {
    return to_status(error, name());
  }
}

}  // namespace imctl::storage
