#include "storage_raw.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "storage_requests.h"

namespace imctl::bench {
namespace {

using Clock = std::chrono::steady_clock;

sqlite3* opened(const std::string& path) {
  sqlite3* db = nullptr;
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path.c_str(), &db, kFlags, nullptr) != SQLITE_OK) {
    sqlite3_close(db);
    throw std::runtime_error("cannot open " + path);
  }
  sqlite3_busy_timeout(db, 5000);
  return db;
}

void bind(sqlite3_stmt* statement, int index, const void* data, size_t size) {
  sqlite3_bind_blob(statement, index, data, static_cast<int>(size), SQLITE_STATIC);
}

// One client that gets batches until `end`; how long each took, in us.
std::vector<double> get_batches(RawConnection& connection, uint64_t size, Clock::time_point end) {
  RawConnection::Statement select = connection.prepare("SELECT d FROM m WHERE k=?");
  RawConnection::Statement begin = connection.prepare("BEGIN");
  RawConnection::Statement commit = connection.prepare("COMMIT");
  auto run = [&](RawConnection::Statement& statement) {
    connection.check(sqlite3_step(statement.get()), SQLITE_DONE);
    sqlite3_reset(statement.get());
  };
  Random random;
  std::string reply;
  std::vector<double> micros;
  for (Clock::time_point start = Clock::now(); start < end;) {
    reply.clear();
    run(begin);
    for (size_t i = 0; i < kBatch; ++i) {
      const Uuid id = Uuid::numbered(random.below(size));
      bind(select.get(), 1, &id, sizeof(id));
      connection.check(sqlite3_step(select.get()), SQLITE_ROW);
      const char* data = static_cast<const char*>(sqlite3_column_blob(select.get(), 0));
      reply.append(data, static_cast<size_t>(sqlite3_column_bytes(select.get(), 0)));
      sqlite3_reset(select.get());
    }
    run(commit);
    Clock::time_point now = Clock::now();
    micros.push_back(std::chrono::duration<double, std::micro>(now - start).count());
    start = now;
  }
  return micros;
}

}  // namespace

RawConnection::RawConnection(const std::string& path) : db_(opened(path), sqlite3_close) {}

void RawConnection::exec(const std::string& sql) {
  check(sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
}

RawConnection::Statement RawConnection::prepare(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  check(sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &statement, nullptr), SQLITE_OK);
  return {statement, sqlite3_finalize};
}

void RawConnection::check(int result, int wanted) const {
  if (result != wanted)
    throw std::runtime_error(std::string("SQLite: ") + sqlite3_errmsg(db_.get()));
}

RawStore::RawStore(const std::string& folder)
    : path_(folder + "/raw.db"),
      writer_(path_),
      insert_(nullptr, sqlite3_finalize),
      data_(random_bytes(kMessageBytes)) {
  for (const char* sql :
       {"PRAGMA page_size=8192", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL",
        "PRAGMA wal_autocheckpoint=8192", "PRAGMA cache_size=-65536",
        "CREATE TABLE m(row INTEGER PRIMARY KEY, k BLOB NOT NULL, d BLOB NOT NULL)",
        "CREATE UNIQUE INDEX m_k ON m(k)"}) {
    writer_.exec(sql);
  }
  insert_ = writer_.prepare("INSERT INTO m(k,d) VALUES(?,?)");
}

Load RawStore::put(uint64_t rows, int rows_a_transaction) {
  const Clock::time_point start = Clock::now();
  for (uint64_t left = rows; left > 0;) {
    writer_.exec("BEGIN IMMEDIATE");
    for (int i = 0; i < rows_a_transaction && left > 0; ++i, --left) {
      const Uuid id = Uuid::numbered(size_++);
      bind(insert_.get(), 1, &id, sizeof(id));
      bind(insert_.get(), 2, data_.data(), data_.size());
      writer_.check(sqlite3_step(insert_.get()), SQLITE_DONE);
      sqlite3_reset(insert_.get());
    }
    writer_.exec("COMMIT");
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return {static_cast<double>(rows) / seconds, 0, 0};
}

Load RawStore::get(size_t clients, std::chrono::milliseconds time) {
  while (readers_.size() < clients) {
    readers_.push_back(std::make_unique<RawConnection>(path_));
    readers_.back()->exec("PRAGMA cache_size=-65536");
  }
  const Clock::time_point start = Clock::now();
  std::vector<std::vector<double>> parts(clients);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < clients; ++i) {
    threads.emplace_back([&part = parts[i], &reader = *readers_[i], this, end = start + time] {
      part = get_batches(reader, size_, end);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::vector<double> all;
  for (auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  std::sort(all.begin(), all.end());
  return {static_cast<double>(all.size()) / seconds, all[all.size() / 2],
          all[all.size() * 99 / 100]};
}

}  // namespace imctl::bench
