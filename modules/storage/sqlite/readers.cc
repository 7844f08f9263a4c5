#include "readers.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <utility>

#include "errors.h"
#include "schema.h"
#include "store.h"

namespace imctl::storage {
namespace {

// The tag of field 1, length-delimited: GetBatchResponse.msgs.
constexpr char kMsgsTag = 0x0A;

void append_message(std::string* reply, std::string_view message) {
  reply->push_back(kMsgsTag);
  size_t size = message.size();
  while (size >= 0x80) {
    reply->push_back(static_cast<char>((size & 0x7FU) | 0x80U));
    size >>= 7U;
  }
  reply->push_back(static_cast<char>(size));
  reply->append(message);
}

void run(SQLite::Statement& statement) {
  statement.exec();
  statement.reset();
}

}  // namespace

struct Readers::Connection {
  explicit Connection(const Options& options)
      : db(open_for_reading(options.path)),
        begin(*db, "BEGIN"),
        find(*db, "SELECT d FROM \"" + options.table + "\" WHERE id=?1 AND ts>?2"),
        end(*db, "COMMIT") {}

  std::unique_ptr<SQLite::Database> db;
  SQLite::Statement begin;
  SQLite::Statement find;
  SQLite::Statement end;
};

Readers::Readers(const Options& options) : options_(options) {}
Readers::~Readers() = default;

std::unique_ptr<Readers::Connection> Readers::take() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
  }
  return std::make_unique<Connection>(options_);
}

void Readers::give_back(std::unique_ptr<Connection> connection) {
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(connection));
}

Result<std::string> Readers::get(const Ids& ids) {
  std::unique_ptr<Connection> connection;
  try {
    connection = take();
    const int64_t expired = expired_since(options_.retention);
    std::string reply;
    bool fits = true;
    run(connection->begin);
    for (auto id = ids.begin(); id != ids.end() && fits; ++id) {
      connection->find.bindNoCopy(1, *id);
      connection->find.bind(2, expired);
      if (connection->find.executeStep()) {
        const SQLite::Column data = connection->find.getColumn(0);
        append_message(&reply, {static_cast<const char*>(data.getBlob()),
                                static_cast<size_t>(data.getBytes())});
        fits = reply.size() <= options_.max_reply;
      }
      connection->find.reset();
    }
    run(connection->end);
    give_back(std::move(connection));
    if (!fits) {
      return Status(IMCTL_RESOURCE_EXHAUSTED, "the messages asked for are larger than max_reply, " +
                                                  std::to_string(options_.max_reply) +
                                                  " bytes: ask for fewer ids at a time");
    }
    return reply;
  } catch (const SQLite::Exception& error) {
    // The connection, which may be in the middle of something, goes away.
    return to_status(error, connection != nullptr ? connection->db->getHandle() : nullptr,
                     options_.path);
  }
}

}  // namespace imctl::storage
