#include "connection.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

namespace imctl::storage {
namespace {

using Clock = std::chrono::steady_clock;

// How often a wait looks whether it is to stop.
constexpr std::chrono::milliseconds kSlice{100};

// libpq's text in one line.
std::string one_line(const char* text) {
  std::string line = text == nullptr ? "" : text;
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::replace(line.begin(), line.end(), '\t', ' ');
  return line;
}

Error error_of(const PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (state == nullptr) return {"", one_line(PQresultErrorMessage(result))};
  return {state, one_line(text)};
}

bool poll_socket(int socket, bool write, std::chrono::milliseconds timeout) {
  pollfd fd{socket, static_cast<short>(write ? POLLIN | POLLOUT : POLLIN), 0};
  return poll(&fd, 1, static_cast<int>(std::max<int64_t>(0, timeout.count()))) > 0;
}

std::string milliseconds(std::chrono::milliseconds time) { return std::to_string(time.count()); }

std::string quoted(const std::string& identifier) { return "\"" + identifier + "\""; }

}  // namespace

uint64_t Rows::touched() const {
  const char* text = PQcmdTuples(raw_.get());
  uint64_t count = 0;
  std::from_chars(text, text + std::strlen(text), count);
  return count;
}

int64_t Rows::number(size_t row, int column) const {
  const std::string_view value = bytes(row, column);
  uint64_t bits = get_int(value.data(), value.size());
  if (value.size() == 4) return static_cast<int32_t>(static_cast<uint32_t>(bits));
  return static_cast<int64_t>(bits);
}

Connection::Connection(const Target& target, const std::atomic<bool>& stop)
    : answer_timeout_(target.answer_timeout) {
  connect(target, stop);
  set_up(target);
}

void Connection::connect(const Target& target, const std::atomic<bool>& stop) {
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& [key, value] : target.parameters) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  raw_.reset(PQconnectStartParams(keys.data(), values.data(), 0));
  if (raw_ == nullptr) throw Error("53200", "no memory for a connection");
  // Notices are errors that the answers tell of, too, or of no interest.
  PQsetNoticeProcessor(
      raw_.get(), [](void*, const char*) {}, nullptr);
  const Clock::time_point until = Clock::now() + target.connect_timeout;
  auto next = PGRES_POLLING_WRITING;
  if (PQstatus(raw_.get()) == CONNECTION_BAD) next = PGRES_POLLING_FAILED;
  while (next != PGRES_POLLING_OK) {
    if (next == PGRES_POLLING_FAILED) throw Error("", one_line(PQerrorMessage(raw_.get())));
    bool ready = false;
    while (!ready) {
      if (stop) throw Error("", "the storage is being closed");
      if (Clock::now() >= until) {
        throw Error("", "no connection within " + milliseconds(target.connect_timeout) + " ms");
      }
      pollfd fd{PQsocket(raw_.get()),
                static_cast<short>(next == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
      ready = poll(&fd, 1, static_cast<int>(kSlice.count())) > 0;
    }
    next = PQconnectPoll(raw_.get());
  }
  alive_ = true;
}

void Connection::set_up(const Target& target) {
  if (PQsetnonblocking(raw_.get(), 1) != 0 || PQenterPipelineMode(raw_.get()) != 1) {
    lose(one_line(PQerrorMessage(raw_.get())));
  }
  // The tables are made for plans by index, whatever their size was when a statement was prepared.
  // What the server would not write to its disk would not be durable. A host that hangs must not
  // hold others up for long.
  std::string sql = "SELECT set_config('search_path', '" + quoted(target.schema) + "', false)";
  const std::vector<std::pair<const char*, std::string>> settings = {
      {"statement_timeout", milliseconds(target.answer_timeout)},
      {"idle_in_transaction_session_timeout", milliseconds(target.answer_timeout)},
      {"default_transaction_isolation", "read committed"},
      {"jit", "off"},
      {"enable_seqscan", "off"},
      {"enable_hashjoin", "off"},
      {"enable_mergejoin", "off"},
      {"plan_cache_mode", "force_generic_plan"},
      {"tcp_keepalives_idle", "10"},
      {"tcp_keepalives_interval", "5"},
      {"tcp_keepalives_count", "3"},
  };
  for (const auto& [key, value] : settings) {
    sql += std::string(", set_config('") + key + "', '" + value + "', false)";
  }
  sql +=
      ", CASE current_setting('synchronous_commit') WHEN 'off' THEN "
      "set_config('synchronous_commit', 'on', false) END";
  query(sql);
}

void Connection::lose(const std::string& why) {
  alive_ = false;
  queued_.clear();
  throw Error("", why);
}

void Connection::queue(const std::string& sql, const Params& params) {
  if (!alive_) throw Error("", "the connection is closed");
  std::string& name = prepared_[sql];
  if (name.empty()) {
    name = "s" + std::to_string(++names_);
    if (PQsendPrepare(raw_.get(), name.c_str(), sql.c_str(), 0, nullptr) != 1) {
      prepared_.erase(sql);
      lose(one_line(PQerrorMessage(raw_.get())));
    }
    queued_.push_back(sql);
  }
  std::vector<const char*> values;
  std::vector<int> lengths;
  for (const std::string& value : params.values()) {
    values.push_back(value.data());
    lengths.push_back(static_cast<int>(value.size()));
  }
  const std::vector<int> formats(values.size(), 1);
  if (PQsendQueryPrepared(raw_.get(), name.c_str(), static_cast<int>(values.size()), values.data(),
                          lengths.data(), formats.data(), 1) != 1) {
    lose(one_line(PQerrorMessage(raw_.get())));
  }
  queued_.emplace_back();
}

bool Connection::wait(bool write, Clock::time_point until) const {
  auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
  return left.count() > 0 && poll_socket(PQsocket(raw_.get()), write, left);
}

PGresult* Connection::next_result() {
  const Clock::time_point until = Clock::now() + answer_timeout_;
  for (;;) {
    int left = PQflush(raw_.get());
    if (left == 0 && PQisBusy(raw_.get()) == 0) return PQgetResult(raw_.get());
    if (left < 0 && PQstatus(raw_.get()) == CONNECTION_BAD) {
      // The server may have said why before it hung up.
      PQconsumeInput(raw_.get());
      return PQgetResult(raw_.get());
    }
    if (!wait(left > 0, until)) {
      lose("no answer within " + milliseconds(answer_timeout_) + " ms");
    }
    if (PQconsumeInput(raw_.get()) != 1 && PQisBusy(raw_.get()) != 0) {
      lose(one_line(PQerrorMessage(raw_.get())));
    }
  }
}

std::vector<Rows> Connection::run() {
  if (!alive_) throw Error("", "the connection is closed");
  if (PQpipelineSync(raw_.get()) != 1) lose(one_line(PQerrorMessage(raw_.get())));
  const std::vector<std::string> queued = std::exchange(queued_, {});
  std::vector<Rows> answers;
  std::optional<Error> error;
  size_t at = 0;
  for (bool synced = false; !synced;) {
    PGresult* raw = next_result();
    if (raw == nullptr) {
      // The end of one statement's answer.
      if (PQstatus(raw_.get()) == CONNECTION_BAD) lose(one_line(PQerrorMessage(raw_.get())));
      continue;
    }
    Rows rows(raw);
    const ExecStatusType status = PQresultStatus(raw);
    if (status == PGRES_PIPELINE_SYNC) {
      synced = true;
      continue;
    }
    const bool ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
    if (!ok && status != PGRES_PIPELINE_ABORTED && !error) error = error_of(raw);
    if (at < queued.size() && !queued[at].empty()) {
      if (!ok) prepared_.erase(queued[at]);
    } else if (ok) {
      answers.push_back(std::move(rows));
    }
    ++at;
    if (error && (error->lost() || PQstatus(raw_.get()) == CONNECTION_BAD)) {
      alive_ = false;
      throw Error(error->lost() ? error->state() : "", error->what());
    }
  }
  if (error) throw Error(*error);
  return answers;
}

Rows Connection::query(const std::string& sql, const Params& params) {
  queue(sql, params);
  std::vector<Rows> answers = run();
  return std::move(answers.back());
}

void Connection::rollback() noexcept {
  if (!alive_) return;
  try {
    if (!queued_.empty()) {
      queue("ROLLBACK");
      run();
    }
  } catch (const std::exception&) {  // what was queued may fail
  }
  try {
    if (alive_ && in_transaction()) query("ROLLBACK");
  } catch (const std::exception&) {
    alive_ = false;
  }
}

bool Connection::check() {
  if (!alive_) return false;
  while (alive_ && poll_socket(PQsocket(raw_.get()), false, std::chrono::milliseconds(0))) {
    if (PQconsumeInput(raw_.get()) != 1 || PQstatus(raw_.get()) == CONNECTION_BAD) alive_ = false;
  }
  return alive_;
}

}  // namespace imctl::storage
