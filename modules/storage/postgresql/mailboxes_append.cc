// Appending messages to mailboxes.
#include <algorithm>
#include <map>
#include <unordered_map>

#include "imctl/storage/v1/mailboxes.pb.h"
#include "mailboxes.h"
#include "message.h"

namespace imctl::storage {
namespace {

// Appends that go together: their statements stay small.
constexpr size_t kTogether = 5000;

struct Mailbox {
  int64_t id = 0;
  uint64_t epoch = 0;
  uint64_t last = 0;   // that was given
  int64_t coming = 0;  // how many numbers are needed
};
using Mailboxes = std::map<std::string_view, Mailbox>;  // in the order of locking

// Is what was looked up the same message? Then its places are filled in, those in mailboxes that
// are gone left out.
struct Stored {
  int64_t time = 0;
  std::string places;
  std::string data;
};

class Appending {
 public:
  Appending(Transaction* txn, std::span<AppendMessage* const> works)
      : txn_(txn), db_(txn->db), works_(works) {}

  void run() {
    for (AppendMessage* work : works_) {
      work->places.clear();
      work->duplicate = work->conflict = false;
      Key key = txn_->key(work->key);
      keys_.push_back(key);
      // The second of the same key is of the first one's places.
      if (!first_.emplace(key, work).second) again_.push_back(work);
    }
    if (txn_->careful) look_up();
    std::vector<AppendMessage*> fresh;
    for (size_t i = 0; i < works_.size(); ++i) {
      if (first_[keys_[i]] != works_[i] || stored_.contains(keys_[i])) continue;
      fresh.push_back(works_[i]);
      fresh_keys_.push_back(keys_[i]);
    }
    if (!fresh.empty()) store(fresh);
    for (size_t i = 0; i < works_.size(); ++i) {
      auto stored = stored_.find(keys_[i]);
      if (stored != stored_.end()) answer_stored(works_[i], stored->second);
    }
    for (AppendMessage* work : again_) {
      const AppendMessage* first = first_[txn_->key(work->key)];
      if (work->duplicate || work->conflict) continue;  // of one that was stored before
      work->duplicate = true;
      work->conflict = !same_delivery(first->data, work->data);
      work->time = first->time;
      work->places = first->places;
    }
  }

 private:
  void look_up() {
    Array array(Type::kUuid);
    for (const auto& [key, work] : first_) array.add(key.view());
    const Rows rows =
        db_->query("SELECT key, time, places, data FROM deliveries WHERE key = ANY ($1::uuid[])",
                   Params::of(std::move(array)));
    for (size_t i = 0; i < rows.size(); ++i) {
      stored_[Key::from(rows.bytes(i, 0))] = {rows.number(i, 1), std::string(rows.bytes(i, 2)),
                                              std::string(rows.bytes(i, 3))};
    }
  }

  void answer_stored(AppendMessage* work, const Stored& stored) {
    work->duplicate = true;
    work->time = stored.time;
    work->conflict = !same_delivery(stored.data, work->data);
    v1::AppendResponse places;
    places.ParseFromString(stored.places);
    Array names(Type::kBytes);
    for (const v1::Position& place : places.positions()) names.add(place.mailbox());
    const Rows rows = db_->query("SELECT name, epoch FROM mailboxes WHERE name = ANY ($1::bytea[])",
                                 Params::of(std::move(names)));
    std::map<std::string_view, uint64_t> epochs;
    for (size_t i = 0; i < rows.size(); ++i) epochs[rows.bytes(i, 0)] = rows.natural(i, 1);
    for (const v1::Position& place : places.positions()) {
      auto epoch = epochs.find(place.mailbox());
      if (epoch == epochs.end() || epoch->second != place.epoch()) continue;
      work->places.push_back({place.mailbox(), place.epoch(), place.sequence()});
    }
  }

  // Locks the mailboxes, makes those that are not there, and takes their numbers.
  int64_t take_numbers(const std::vector<AppendMessage*>& fresh, Mailboxes* mailboxes) {
    for (AppendMessage* work : fresh) {
      for (const std::string& name : work->mailboxes) ++(*mailboxes)[name].coming;
    }
    Array names(Type::kBytes);
    Array coming(Type::kInt8);
    for (const auto& [name, mailbox] : *mailboxes) {
      names.add(name);
      coming.add(mailbox.coming);
    }
    db_->queue(
        "INSERT INTO mailboxes AS m (name, epoch, first, last)"
        " SELECT unnest($1::bytea[]), nextval('epochs'), 1, unnest($2::int8[])"
        " ON CONFLICT (name) DO UPDATE SET last = m.last + excluded.last"
        " RETURNING name, id, epoch, last, xmax = 0",
        Params::of(std::move(names), std::move(coming)));
    db_->queue("SELECT nextval('numbers')");
    const std::vector<Rows> answers = db_->run();
    const Rows& rows = answers[answers.size() - 2];
    Array begun(Type::kInt8);
    for (size_t i = 0; i < rows.size(); ++i) {
      Mailbox& mailbox = mailboxes->at(rows.bytes(i, 0));
      mailbox.id = rows.number(i, 1);
      mailbox.epoch = rows.natural(i, 2);
      mailbox.last = rows.natural(i, 3) - static_cast<uint64_t>(mailbox.coming);
      if (rows.number(i, 4) != 0) begun.add(mailbox.id);
    }
    if (!begun.empty()) give_epochs(std::move(begun), mailboxes);
    return answers.back().number(0, 0);
  }

  // Of mailboxes that begin: once they are ours, since the one that the insert took may be older
  // than that of a life which ended while it waited.
  void give_epochs(Array begun, Mailboxes* mailboxes) {
    const Rows rows = db_->query(
        "UPDATE mailboxes SET epoch = nextval('epochs') WHERE id = ANY ($1::int8[])"
        " RETURNING name, epoch",
        Params::of(std::move(begun)));
    for (size_t i = 0; i < rows.size(); ++i) {
      mailboxes->at(rows.bytes(i, 0)).epoch = rows.natural(i, 1);
    }
  }

  void store(const std::vector<AppendMessage*>& fresh) {
    Mailboxes mailboxes;
    int64_t n = take_numbers(fresh, &mailboxes);
    Array ns(Type::kInt8);
    Array times(Type::kInt8);
    Array keys(Type::kUuid);
    Array counts(Type::kInt8);
    Array places(Type::kBytes);
    Array data(Type::kBytes);
    Array entry_mailboxes(Type::kInt8);
    Array entry_sequences(Type::kInt8);
    Array entry_ns(Type::kInt8);
    auto queue_bodies = [&] {
      db_->queue(
          "INSERT INTO deliveries (n, time, key, entries, places, data)"
          " SELECT unnest($1::int8[]), unnest($2::int8[]), unnest($3::uuid[]), "
          "unnest($4::int8[])::int4,"
          " unnest($5::bytea[]), unnest($6::bytea[])",
          Params::of(std::move(ns), std::move(times), std::move(keys), std::move(counts),
                     std::move(places), std::move(data)));
      ns = times = counts = Array(Type::kInt8);
      keys = Array(Type::kUuid);
      places = data = Array(Type::kBytes);
    };
    constexpr size_t kStatementBytes = size_t{1} << 20U;
    for (size_t i = 0; i < fresh.size(); ++i, ++n) {
      AppendMessage* work = fresh[i];
      work->time = work->given_time != 0 ? work->given_time : txn_->now;
      v1::AppendResponse answer;
      for (const std::string& name : work->mailboxes) {
        Mailbox& mailbox = mailboxes.at(name);
        const uint64_t sequence = ++mailbox.last;
        work->places.push_back({name, mailbox.epoch, sequence});
        v1::Position* position = answer.add_positions();
        position->set_mailbox(name);
        position->set_epoch(mailbox.epoch);
        position->set_sequence(sequence);
        entry_mailboxes.add(mailbox.id);
        entry_sequences.add(sequence);
        entry_ns.add(n);
      }
      ns.add(n);
      times.add(work->time);
      keys.add(fresh_keys_[i].view());
      counts.add(uint64_t{work->mailboxes.size()});
      places.add(answer.SerializeAsString());
      data.add(work->data);
      if (data.size() > kStatementBytes) queue_bodies();
    }
    if (!ns.empty()) queue_bodies();
    db_->queue(
        "INSERT INTO entries (mailbox, sequence, n)"
        " SELECT unnest($1::int8[]), unnest($2::int8[]), unnest($3::int8[])",
        Params::of(std::move(entry_mailboxes), std::move(entry_sequences), std::move(entry_ns)));
    for (const auto& [name, mailbox] : mailboxes) {
      txn_->notices.add(Watchers::Kind::kMailbox, name);
    }
  }

  Transaction* const txn_;
  Connection* const db_;
  const std::span<AppendMessage* const> works_;
  std::vector<Key> keys_;
  std::unordered_map<Key, AppendMessage*, KeyHash> first_;
  std::vector<AppendMessage*> again_;
  std::unordered_map<Key, Stored, KeyHash> stored_;
  std::vector<Key> fresh_keys_;
};

}  // namespace

void append_messages(Transaction* txn, std::span<AppendMessage* const> works) {
  for (size_t at = 0; at < works.size(); at += kTogether) {
    Appending(txn, works.subspan(at, std::min(kTogether, works.size() - at))).run();
  }
}

}  // namespace imctl::storage
