// Batches through the host to a PostgreSQL server, against a loop of libpq at the same server.
#include <libpq-fe.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

#include "storage.h"
#include "storage_host.h"
#include "test_server.h"

namespace imctl::bench {
namespace {

constexpr size_t kInFlight = 64;
constexpr uint32_t kText = 25;  // types, as PostgreSQL numbers them
constexpr uint32_t kBytea = 17;

void append_int(std::string* to, uint32_t value) {
  for (unsigned shift = 32; shift > 0; shift -= 8) {
    to->push_back(static_cast<char>(value >> (shift - 8)));
  }
}

// An array of kBatch equal elements, in the binary format; the places are those of the elements.
Template array(uint32_t type, const std::string& element) {
  Template made;
  constexpr uint32_t kDimensions = 1, kNulls = 0, kFrom = 1;
  for (uint32_t value : {kDimensions, kNulls, type, uint32_t{kBatch}, kFrom}) {
    append_int(&made.bytes, value);
  }
  for (size_t i = 0; i < kBatch; ++i) {
    append_int(&made.bytes, static_cast<uint32_t>(element.size()));
    made.places.push_back(made.bytes.size());
    made.bytes += element;
  }
  return made;
}

// A statement a batch and a transaction a statement.
class Loop {
 public:
  explicit Loop(const std::string& uri)
      : connection_(PQconnectdb(uri.c_str()), PQfinish),
        ids_(array(kText, std::string(kUuid, 'x'))),
        data_(array(kBytea, random_bytes(kMessageBytes))) {
    check(
        PQexec(connection_.get(), "CREATE TABLE loop (id text PRIMARY KEY, data bytea NOT NULL)"));
    check(PQexec(connection_.get(), "ALTER TABLE loop ALTER data SET STORAGE EXTERNAL"));
    check(PQprepare(connection_.get(), "put",
                    "INSERT INTO loop SELECT * FROM unnest($1::text[], $2::bytea[])", 0, nullptr));
  }

  Load put(size_t batches) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < batches; ++i) {
      for (size_t place : ids_.places) Uuid::random(random_).write(ids_.bytes.data() + place);
      const char* values[] = {ids_.bytes.data(), data_.bytes.data()};
      const int lengths[] = {static_cast<int>(ids_.bytes.size()),
                             static_cast<int>(data_.bytes.size())};
      const int formats[] = {1, 1};
      check(PQexecPrepared(connection_.get(), "put", 2, values, lengths, formats, 1));
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    return {static_cast<double>(batches) / time.count(), 0, 0};
  }

 private:
  void check(PGresult* result) {
    const bool good = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    if (!good) throw std::runtime_error(PQerrorMessage(connection_.get()));
  }

  std::unique_ptr<PGconn, void (*)(PGconn*)> connection_;
  Template ids_, data_;
  Random random_;
};

}  // namespace

void measure_postgresql(std::vector<Figure>* figures, int rounds) {
  constexpr size_t kBatches = 1000;  // a round
  storage::TestServer server("max_wal_size = 4GB\n");
  StorageHost host("storage-postgresql", {"storage-postgresql.uri=" + server.uri()});
  Loop loop(server.uri());
  const Shape shape = put_shape(kBatch);
  Turns turns;
  auto ours = [&] { return in_messages(host.caller().run(shape, kInFlight, times(kBatches))); };
  auto theirs = [&] { return in_messages(loop.put(kBatches)); };
  ours();  // warm
  theirs();
  turns.run(ours, theirs, rounds);
  figures->push_back(turns.rate("postgresql, PutBatch of 100 x 1 KB, 64 in flight", "msg/s",
                                "UNNEST in a loop", 0.8));
}

}  // namespace imctl::bench
