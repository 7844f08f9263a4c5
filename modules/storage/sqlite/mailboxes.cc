#include "mailboxes.h"

#include <climits>
#include <optional>

#include "message.h"
#include "names.h"
#include "wire.h"
#include "unix_time.h"

namespace imctl::storage {
namespace {

// What a part of a long work takes on at a time.
constexpr size_t kPart = 1000;

const char kLastEpoch[] = "last_epoch";

Key key_of(const KeyMaker& keys, std::string_view message) {
  v1::Message parsed;
  (void)parsed.ParseFromArray(message.data(), static_cast<int>(message.size()));
  return keys(delivery_key(parsed.event()));
}

MailboxState to_state(std::string_view name, Query& query) {
  return {std::string(name), query.count(1), query.count(2), query.count(3)};
}

}  // namespace

std::string pack(const std::vector<PlaceById>& places) {
  std::string bytes;
  for (const PlaceById& place : places) {
    wire::append_varint(&bytes, static_cast<uint64_t>(place.mailbox));
    wire::append_varint(&bytes, place.sequence);
  }
  return bytes;
}

std::vector<PlaceById> unpack(std::string_view bytes) {
  std::vector<PlaceById> places;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  uint64_t mailbox = 0;
  uint64_t sequence = 0;
  while (in.ReadVarint64(&mailbox) && in.ReadVarint64(&sequence)) {
    places.push_back({static_cast<int64_t>(mailbox), sequence});
  }
  return places;
}

Mailboxes::Mailboxes(Connection* connection, Log* log, const KeyMaker* keys)
    : connection_(connection), log_(log), keys_(keys) {}

Mailboxes::Row Mailboxes::find(std::string_view name) {
  Query query(*connection_, "SELECT id,epoch,first,last FROM mailboxes WHERE name=?");
  query << name;
  if (!query.step()) return {};
  return {query.number(0), query.count(1), query.count(2), query.count(3)};
}

uint64_t Mailboxes::last_epoch() {
  Query query(*connection_, "SELECT value FROM meta WHERE name=?");
  query << std::string_view(kLastEpoch);
  return query.step() ? query.count(0) : 0;
}

void Mailboxes::set_last_epoch(uint64_t epoch) {
  Query query(*connection_, "INSERT OR REPLACE INTO meta(name,value) VALUES(?,?)");
  query << std::string_view(kLastEpoch) << epoch;
  query.run();
}

Mailboxes::Row Mailboxes::create(std::string_view name) {
  Row row;
  row.epoch = new_epoch(last_epoch());
  set_last_epoch(row.epoch);
  Query query(*connection_, "INSERT INTO mailboxes(name,epoch,first,last) VALUES(?,?,1,0)");
  query << name << row.epoch;
  query.run();
  row.id = connection_->db().getLastInsertRowid();
  return row;
}

std::vector<Place> Mailboxes::name_all(const std::vector<PlaceById>& places) {
  std::vector<Place> named;
  for (const PlaceById& place : places) {
    Query query(*connection_, "SELECT name,epoch FROM mailboxes WHERE id=?");
    query << place.mailbox;
    if (query.step()) named.push_back({query.text(0), query.count(1), place.sequence});
  }
  return named;
}

void Mailboxes::append(AppendMessage* work, int64_t now) {
  work->places.clear();
  work->conflict = false;
  const Key key = (*keys_)(work->key);
  std::optional<Stored> stored = log_->find({&key, 1}, INT64_MIN)[0];
  work->duplicate = stored.has_value();
  work->time = stored ? stored->ts : work->given_time != 0 ? work->given_time : now;
  if (stored) {
    work->conflict = !same_delivery(stored->data, work->data);
    if (!work->conflict) work->places = name_all(unpack(stored->extra));
    return;
  }
  std::vector<PlaceById> places;
  places.reserve(work->mailboxes.size());
  for (const std::string& name : work->mailboxes) {
    Row row = find(name);
    if (row.id == 0) row = create(name);
    places.push_back({row.id, ++row.last});
    work->places.push_back({name, row.epoch, row.last});
  }
  const Location at = log_->insert(key, work->time, work->data, pack(places));
  for (const PlaceById& place : places) {
    {
      Query query(*connection_, "UPDATE mailboxes SET last=? WHERE id=?");
      query << place.sequence << place.mailbox;
      query.run();
    }
    Query query(*connection_, "INSERT INTO entries(mailbox,sequence,at) VALUES(?,?,?)");
    query << place.mailbox << place.sequence << at.packed();
    query.run();
  }
}

void Mailboxes::ack(AckMailbox* work, int64_t now) {
  const Row row = find(work->mailbox);
  if (work->epoch != 0 && work->epoch != row.epoch) {
    work->outcome = Status(IMCTL_FAILED_PRECONDITION,
                           "mailbox \"" + work->mailbox + "\" has epoch " +
                               std::to_string(row.epoch) + ", not " + std::to_string(work->epoch) +
                               ": it was deleted or restored; forget its numbers");
    return;
  }
  if (work->sequence > row.last) {
    work->outcome = Status(IMCTL_OUT_OF_RANGE,
                           "mailbox \"" + work->mailbox + "\" ends at " + std::to_string(row.last) +
                               ": " + std::to_string(work->sequence) + " was never given");
    return;
  }
  work->outcome = Status();
  work->stands = work->sequence;
  work->moved = now;
  if (row.id == 0) return;  // 0 of a mailbox that nobody wrote to
  {
    Query query(*connection_, "SELECT sequence,ts FROM cursors WHERE mailbox=? AND device=?");
    query << row.id << work->device;
    if (query.step() && query.count(0) >= work->sequence) {
      work->stands = query.count(0);
      work->moved = query.number(1);
      return;
    }
  }
  Query query(*connection_,
              "INSERT OR REPLACE INTO cursors(mailbox,device,sequence,ts) VALUES(?,?,?,?)");
  query << row.id << work->device << work->sequence << now;
  query.run();
}

void Mailboxes::remove(DeleteCursor* work) {
  Query query(
      *connection_,
      "DELETE FROM cursors WHERE device=? AND mailbox=(SELECT id FROM mailboxes WHERE name=?)");
  query << work->device << work->mailbox;
  work->existed = query.run() != 0;
}

void Mailboxes::remove(DeleteMailbox* work) {
  if (!work->begun) {
    const Row row = find(work->mailbox);
    work->existed = row.id != 0;
    work->more = work->existed;
    if (!work->existed) return;
    for (const char* sql :
         {"DELETE FROM mailboxes WHERE id=?", "DELETE FROM cursors WHERE mailbox=?",
          "INSERT INTO dead_mailboxes(id) VALUES(?)"}) {
      Query query(*connection_, sql);
      query << row.id;
      query.run();
    }
    return;
  }
  // Of whichever is dead: if it is not this one, this one's turn comes.
  int64_t dead = 0;
  {
    Query query(*connection_, "SELECT id FROM dead_mailboxes ORDER BY id LIMIT 1");
    if (query.step()) dead = query.number(0);
  }
  work->more = dead != 0;
  if (dead != 0) (void)delete_some_entries(dead);
}

void Mailboxes::finish_deletes() {
  DeleteMailbox work;
  work.begun = true;
  do {
    remove(&work);
  } while (work.more);
}

// False: that was the last of them.
bool Mailboxes::delete_some_entries(int64_t mailbox) {
  std::vector<Location> at;
  {
    Query query(*connection_, "SELECT at FROM entries WHERE mailbox=? ORDER BY sequence LIMIT " +
                                  std::to_string(kPart));
    query << mailbox;
    while (query.step()) at.push_back(Location::unpack(query.number(0)));
  }
  for (const Location& location : at) {
    std::optional<Stored> stored = log_->at(location);
    if (stored && !is_anywhere(unpack(stored->extra))) {
      log_->remove(location);
    }
  }
  {
    Query query(*connection_,
                "DELETE FROM entries WHERE mailbox=? AND sequence IN (SELECT sequence FROM entries "
                "WHERE mailbox=? ORDER BY sequence LIMIT " +
                    std::to_string(kPart) + ")");
    query << mailbox << mailbox;
    query.run();
  }
  if (at.size() == kPart) return true;
  Query query(*connection_, "DELETE FROM dead_mailboxes WHERE id=?");
  query << mailbox;
  query.run();
  return false;
}

bool Mailboxes::is_anywhere(const std::vector<PlaceById>& places) {
  for (const PlaceById& place : places) {
    Query query(*connection_, "SELECT 1 FROM mailboxes WHERE id=?");
    query << place.mailbox;
    if (query.step()) return true;
  }
  return false;
}

void Mailboxes::clean(CleanMailboxes* work) {
  work->removed = 0;
  work->more = false;
  std::optional<int64_t> bucket = log_->oldest_expired(work->before);
  if (!bucket) return;
  if (*bucket != cleaned_bucket_) {
    cleaned_bucket_ = *bucket;
    cleaned_row_ = 0;
  }
  work->more = true;
  const std::vector<Stored> part = log_->oldest(work->before, cleaned_row_, kPart);
  for (const Stored& stored : part) {
    cleaned_row_ = stored.at.row;
    for (const PlaceById& place : unpack(stored.extra)) {
      {
        Query query(*connection_, "DELETE FROM entries WHERE mailbox=? AND sequence=?");
        query << place.mailbox << place.sequence;
        query.run();
      }
      Query query(*connection_, "UPDATE mailboxes SET first=max(first,?) WHERE id=?");
      query << place.sequence + 1 << place.mailbox;
      query.run();
    }
  }
  if (part.size() < kPart) {
    work->removed = log_->drop_oldest();
    cleaned_bucket_ = 0;
  }
}

void Mailboxes::load(const v1::SnapshotMailbox& mailbox) {
  const v1::MailboxState& state = mailbox.state();
  {
    Query query(*connection_, "INSERT INTO mailboxes(name,epoch,first,last) VALUES(?,?,?,?)");
    query << state.mailbox() << state.epoch() << state.first() << state.last();
    query.run();
  }
  const int64_t id = connection_->db().getLastInsertRowid();
  if (state.epoch() > last_epoch()) set_last_epoch(state.epoch());
  for (const v1::Cursor& cursor : mailbox.cursors()) {
    Query query(*connection_, "INSERT INTO cursors(mailbox,device,sequence,ts) VALUES(?,?,?,?)");
    query << id << cursor.device() << cursor.sequence() << unix_ms(cursor.time());
    query.run();
  }
}

void Mailboxes::load(const v1::Delivery& delivery) {
  std::vector<PlaceById> places;
  for (const v1::Position& position : delivery.positions()) {
    const Row row = find(position.mailbox());
    if (row.id != 0 && row.epoch == position.epoch())
      places.push_back({row.id, position.sequence()});
  }
  const Location at = log_->insert(key_of(*keys_, delivery.message()), unix_ms(delivery.time()),
                                   delivery.message(), pack(places));
  for (const PlaceById& place : places) {
    Query query(*connection_, "INSERT INTO entries(mailbox,sequence,at) VALUES(?,?,?)");
    query << place.mailbox << place.sequence << at.packed();
    query.run();
  }
}

void Mailboxes::clear() {
  log_->clear();
  for (const char* table : {"mailboxes", "entries", "cursors", "dead_mailboxes"}) {
    connection_->db().exec(std::string("DELETE FROM ") + table);
  }
}

bool Mailboxes::empty() {
  Query query(*connection_, "SELECT 1 FROM mailboxes LIMIT 1");
  return !query.step();
}

// ---- reading

MailboxState read_state(Connection& connection, std::string_view mailbox) {
  Query query(connection, "SELECT id,epoch,first,last FROM mailboxes WHERE name=?");
  query << mailbox;
  if (query.step()) return to_state(mailbox, query);
  MailboxState none;
  none.mailbox = mailbox;
  return none;
}

MailboxPage read_page(Connection& connection, std::string_view mailbox, uint64_t after,
                      size_t limit, size_t max_bytes) {
  MailboxPage page;
  page.state = read_state(connection, mailbox);
  if (after >= page.state.last) return page;
  Query query(
      connection,
      "SELECT sequence,at FROM entries WHERE mailbox=(SELECT id FROM mailboxes WHERE name=?) "
      "AND sequence>? ORDER BY sequence LIMIT ?");
  query << mailbox << after << static_cast<int64_t>(limit);
  size_t bytes = 0;
  while (query.step()) {
    const Location at = Location::unpack(query.number(1));
    Query body(connection,
               "SELECT ts,d FROM " + body_table(kDeliveries, at.bucket) + " WHERE row=?");
    body << at.row;
    if (!body.step()) continue;
    bytes += body.blob(1).size() + kEntryOverhead;
    if (bytes > max_bytes && !page.entries.empty()) break;
    page.entries.push_back({query.count(0), body.number(0), body.text(1)});
  }
  return page;
}

Cursors read_cursors(Connection& connection, std::string_view mailbox) {
  Cursors found;
  found.epoch = read_state(connection, mailbox).epoch;
  Query query(
      connection,
      "SELECT device,sequence,ts FROM cursors WHERE mailbox=(SELECT id FROM mailboxes WHERE "
      "name=?) ORDER BY device");
  query << mailbox;
  while (query.step()) {
    found.cursors.push_back({query.text(0), query.count(1), query.number(2)});
  }
  return found;
}

std::vector<MailboxState> read_mailboxes(Connection& connection, std::string_view prefix,
                                         std::string_view after, size_t limit) {
  std::vector<MailboxState> found;
  Query query(connection,
              "SELECT name,epoch,first,last FROM mailboxes WHERE name>=? AND name>? ORDER BY name");
  query << prefix << after;
  while (found.size() < limit && query.step()) {
    const std::string_view name = query.blob(0);
    if (name.substr(0, prefix.size()) != prefix) break;
    found.push_back(to_state(name, query));
  }
  return found;
}

}  // namespace imctl::storage
