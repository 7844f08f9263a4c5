// How fast the back end stores batches of 100 messages of 1 KB, against a bare loop of libpq at the
// same server. One line for each, in rows a second; the rounds are mixed, since machines drift.
//
//   storage-postgresql-bench [SECONDS of each measurement]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/grpc/cloudevents/cloudevent.pb.h"
#include "imctl/storage/v1/mailboxes.pb.h"
#include "postgresql_engine.h"
#include "test_server.h"

namespace imctl::storage {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kBatch = 100;
constexpr int kSize = 1024;
constexpr int kRounds = 3;

std::mt19937_64& random_bits() {
  static std::mt19937_64 bits{7};
  return bits;
}

// As text, 36 bytes.
std::string uuid() {
  char text[37];
  const uint64_t a = random_bits()();
  const uint64_t b = random_bits()();
  std::snprintf(text, sizeof(text), "%08x-%04x-%04x-%04x-%012llx", static_cast<unsigned>(a >> 32U),
                static_cast<unsigned>(a >> 16U & 0xFFFFU), static_cast<unsigned>(a & 0xFFFFU),
                static_cast<unsigned>(b >> 48U),
                static_cast<unsigned long long>(b & 0xFFFFFFFFFFFFU));
  return text;
}

std::string body() {
  std::string bytes(kSize, '\0');
  for (char& byte : bytes) byte = static_cast<char>('a' + random_bits()() % 26);
  return bytes;
}

void check(PGconn* raw, const PGresult* result, ExecStatusType wanted) {
  if (PQresultStatus(result) == wanted) return;
  std::fprintf(stderr, "%s\n", PQerrorMessage(raw));
  std::exit(1);
}

class Bare {
 public:
  explicit Bare(const std::string& uri) : raw_(PQconnectdb(uri.c_str())), data_(body()) {
    exec("CREATE TABLE IF NOT EXISTS bare (id text PRIMARY KEY, data bytea NOT NULL)");
    exec("ALTER TABLE bare ALTER data SET STORAGE EXTERNAL");
    PQclear(PQprepare(raw_, "put", "INSERT INTO bare SELECT * FROM unnest($1::text[], $2::bytea[])",
                      0, nullptr));
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;
  ~Bare() { PQfinish(raw_); }

  void unnest() {
    Array ids(static_cast<Type>(25));
    Array data(Type::kBytes);
    for (int i = 0; i < kBatch; ++i) {
      ids.add(uuid());
      data.add(data_);
    }
    const std::string first = std::move(ids).take();
    const std::string second = std::move(data).take();
    const char* values[] = {first.data(), second.data()};
    const int lengths[] = {static_cast<int>(first.size()), static_cast<int>(second.size())};
    const int formats[] = {1, 1};
    PGresult* result = PQexecPrepared(raw_, "put", 2, values, lengths, formats, 1);
    check(raw_, result, PGRES_COMMAND_OK);
    PQclear(result);
  }

  void copy() {
    std::string bytes("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
    for (int i = 0; i < kBatch; ++i) {
      put_int(&bytes, 2, 2);
      put_int(&bytes, 36, 4);
      bytes += uuid();
      put_int(&bytes, data_.size(), 4);
      bytes += data_;
    }
    put_int(&bytes, 0xFFFF, 2);
    PGresult* result = PQexec(raw_, "COPY bare FROM STDIN BINARY");
    check(raw_, result, PGRES_COPY_IN);
    PQclear(result);
    PQputCopyData(raw_, bytes.data(), static_cast<int>(bytes.size()));
    PQputCopyEnd(raw_, nullptr);
    while ((result = PQgetResult(raw_)) != nullptr) {
      check(raw_, result, PGRES_COMMAND_OK);
      PQclear(result);
    }
  }

 private:
  void exec(const char* sql) { PQclear(PQexec(raw_, sql)); }

  PGconn* raw_;
  const std::string data_;
};

// Groups that were made beforehand; only their ids change.
class Put {
 public:
  Put(Engine* engine, size_t writes) : engine_(engine) {
    pb::CloudEvent event;
    event.set_id(std::string(36, 'x'));
    event.set_source("bench");
    event.set_spec_version("1.0");
    event.set_type("test");
    event.set_text_data(body().substr(0, kSize - 60));
    data_ = event.SerializeAsString();
    ids_.resize(writes * kBatch);
    writes_.reserve(writes);
    for (size_t i = 0; i < writes; ++i) writes_.emplace_back(PutMessages());
    for (Write& write : writes_) works_.push_back(&write);
  }

  const std::vector<std::string>& ids() const { return ids_; }

  void run() {
    for (std::string& id : ids_) id = uuid();
    for (size_t i = 0; i < works_.size(); ++i) {
      auto& put = std::get<PutMessages>(*works_[i]);
      put.items.clear();
      for (int k = 0; k < kBatch; ++k) {
        put.items.push_back({ids_[i * kBatch + static_cast<size_t>(k)], data_});
      }
    }
    Status status = engine_->commit(works_);
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.message().c_str());
      std::exit(1);
    }
  }

 private:
  Engine* const engine_;
  std::string data_;
  std::vector<std::string> ids_;
  std::vector<Write> writes_;
  std::vector<Write*> works_;
};

// One message for each of some mailboxes out of a thousand.
void append(Engine* engine, size_t count) {
  std::vector<std::string> data(count);
  std::vector<Write> writes;
  std::vector<Write*> works;
  writes.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    v1::Message message;
    message.mutable_event()->set_text_data(std::string(kSize, 'x'));
    data[i] = message.SerializeAsString();
    AppendMessage work;
    work.key = uuid();
    work.data = data[i];
    work.mailboxes = {"user" + std::to_string(random_bits()() % 1000) + "@example.org"};
    writes.emplace_back(std::move(work));
    works.push_back(&writes.back());
  }
  if (!engine->commit(works).ok()) std::exit(1);
}

// 100 of `ids` at random.
void get(Engine* engine, const std::vector<std::string>& ids) {
  std::vector<std::string_view> some;
  for (int i = 0; i < kBatch; ++i) some.push_back(ids[random_bits()() % ids.size()]);
  size_t found = 0;
  Status status = engine->get_messages(some, [&](std::string_view) { return ++found > 0; });
  if (!status.ok() || found != some.size()) std::exit(1);
}

// All that is stored, at once expired.
void clean(Engine* engine) {
  const int64_t before = unix_ms();
  const auto start = Clock::now();
  uint64_t removed = 0;
  double longest = 0;
  for (bool more = true; more;) {
    const auto run = Clock::now();
    Write write{CleanMessages{before}};
    Write* work = &write;
    if (!engine->commit({&work, 1}).ok()) std::exit(1);
    const auto& done = std::get<CleanMessages>(write);
    removed += done.removed;
    more = done.more;
    longest = std::max(longest, std::chrono::duration<double>(Clock::now() - run).count());
  }
  const double passed = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf("Clean: %.0f rows in %.1f s, the longest run %.0f ms\n", static_cast<double>(removed),
              passed, longest * 1000);
}

double measure(double seconds, size_t rows, const std::function<void()>& once) {
  const auto start = Clock::now();
  size_t count = 0;
  double passed = 0;
  do {
    once();
    count += rows;
    passed = std::chrono::duration<double>(Clock::now() - start).count();
  } while (passed < seconds);
  return static_cast<double>(count) / passed;
}

int bench(double seconds) {
  TestServer server("max_wal_size = 4GB\n");
  postgresql::v1::Config config;
  config.set_uri(server.uri());
  config.set_table("bench");
  config.set_connections(4);
  config.mutable_connect_timeout()->set_seconds(5);
  config.mutable_answer_timeout()->set_seconds(30);
  Watchers watchers;
  auto options = read_options(config);
  auto engine = PostgresEngine::open(
      *options, {std::chrono::hours(168), {}, 1000}, &watchers, [](const std::string&) {},
      [](const std::string&) {});
  if (!engine.ok()) {
    std::fprintf(stderr, "%s\n", engine.status().message().c_str());
    return 1;
  }
  Engine* e = engine->get();
  Bare bare(server.uri());
  std::vector<std::pair<std::string, std::function<double()>>> all;
  all.emplace_back("bare UNNEST of 100",
                   [&] { return measure(seconds, kBatch, [&] { bare.unnest(); }); });
  all.emplace_back("bare COPY of 100",
                   [&] { return measure(seconds, kBatch, [&] { bare.copy(); }); });
  std::vector<std::unique_ptr<Put>> puts;
  for (size_t writes : {1U, 10U, 32U, 64U}) {
    puts.push_back(std::make_unique<Put>(e, writes));
    Put* put = puts.back().get();
    all.emplace_back("engine, " + std::to_string(writes) + " writes of 100",
                     [=] { return measure(seconds, writes * kBatch, [=] { put->run(); }); });
  }
  for (size_t count : {1U, 64U, 1000U}) {
    all.emplace_back("engine, " + std::to_string(count) + " appends",
                     [=] { return measure(seconds, count, [=] { append(e, count); }); });
  }
  const Put* last = puts.back().get();
  all.emplace_back("engine, gets of 100",
                   [=] { return measure(seconds, kBatch, [=] { get(e, last->ids()); }); });
  std::map<std::string, std::vector<double>> rates;
  for (int round = 0; round < kRounds; ++round) {
    for (auto& [name, run] : all) rates[name].push_back(run());
  }
  double unnest = 0;
  double copy = 0;
  for (auto& [name, run] : all) {
    std::vector<double>& of = rates[name];
    std::sort(of.begin(), of.end());
    const double middle = of[of.size() / 2];
    if (unnest == 0) unnest = middle;
    if (name == "bare COPY of 100") copy = middle;
    std::printf("%-28s %9.0f rows/s", name.c_str(), middle);
    if (copy > 0) std::printf("  %.2f x UNNEST, %.2f x COPY", middle / unnest, middle / copy);
    std::printf("\n");
  }
  clean(e);
  return 0;
}

}  // namespace
}  // namespace imctl::storage

int main(int argc, char** argv) { return imctl::storage::bench(argc > 1 ? std::atof(argv[1]) : 2); }
