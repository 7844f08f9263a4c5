// A connection to the server: statements that are sent together and answered together.
#ifndef IMCTL_STORAGE_POSTGRESQL_CONNECTION_H
#define IMCTL_STORAGE_POSTGRESQL_CONNECTION_H

#include <libpq-fe.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "binary.h"
#include "errors.h"

namespace imctl::storage {

// Where to connect, and how.
struct Target {
  std::vector<std::pair<std::string, std::string>> parameters;  // libpq's
  std::string schema;
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds answer_timeout{30000};
  // How errors call it, without a password: `the PostgreSQL database "im" at db1:5432`.
  std::string name;
};

// What a statement answered.
class Rows {
 public:
  Rows() = default;
  explicit Rows(PGresult* raw) : raw_(raw) {}

  size_t size() const { return static_cast<size_t>(PQntuples(raw_.get())); }
  bool empty() const { return size() == 0; }
  // How many rows an INSERT, UPDATE or DELETE touched.
  uint64_t touched() const;

  bool null(size_t row, int column) const {
    return PQgetisnull(raw_.get(), static_cast<int>(row), column) != 0;
  }
  std::string_view bytes(size_t row, int column) const {
    return {PQgetvalue(raw_.get(), static_cast<int>(row), column),
            static_cast<size_t>(PQgetlength(raw_.get(), static_cast<int>(row), column))};
  }
  // Of bool, int4 and int8.
  int64_t number(size_t row, int column) const;
  uint64_t natural(size_t row, int column) const {
    return static_cast<uint64_t>(number(row, column));
  }

 private:
  struct Clear {
    void operator()(PGresult* raw) const { PQclear(raw); }
  };
  std::unique_ptr<PGresult, Clear> raw_;
};

// One thread at a time. Everything throws Error; after one that is lost() it is of no use any more.
class Connection {
 public:
  // Connects [blocks]; gives up when `stop` is set.
  Connection(const Target& target, const std::atomic<bool>& stop);

  // Sends a statement, or keeps it to be sent, with those before it. It is prepared when it is
  // first used.
  void queue(const std::string& sql, const Params& params = {});
  // Sends what is left and gives the answers of all that was queued. After the first that fails
  // none is done; that one's error is thrown.
  std::vector<Rows> run();
  // The answer of the last of all that was queued.
  Rows query(const std::string& sql, const Params& params = {});
  // Ends a transaction that failed.
  void rollback() noexcept;

  bool alive() const { return alive_; }
  // Looks whether the server has hung up meanwhile.
  bool check();
  bool in_transaction() const { return PQtransactionStatus(raw_.get()) != PQTRANS_IDLE; }

  int socket() const { return PQsocket(raw_.get()); }
  int process() const { return PQbackendPID(raw_.get()); }
  PGconn* raw() { return raw_.get(); }

 private:
  struct Close {
    void operator()(PGconn* raw) const { PQfinish(raw); }
  };

  void connect(const Target& target, const std::atomic<bool>& stop);
  void set_up(const Target& target);
  [[noreturn]] void lose(const std::string& why);
  // Waits for the socket; false: for too long.
  bool wait(bool write, std::chrono::steady_clock::time_point until) const;
  PGresult* next_result();

  std::unique_ptr<PGconn, Close> raw_;
  std::chrono::milliseconds answer_timeout_;
  bool alive_ = false;
  // Names of prepared statements, by their text.
  std::unordered_map<std::string, std::string> prepared_;
  uint64_t names_ = 0;
  // What was queued: the text of a statement to be prepared, or empty for one to be run.
  std::vector<std::string> queued_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_CONNECTION_H
