#include "storage.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "storage_host.h"
#include "storage_http2.h"
#include "storage_raw.h"

namespace imctl::bench {
namespace {

constexpr size_t kInFlight = 64;
constexpr uint64_t kMillion = 1'000'000;
constexpr std::chrono::milliseconds kRound{1000};
constexpr char kRaw[] = "SQLite in a loop";

// etcd alone, on a free port and in a temporary folder.
class Etcd {
 public:
  Etcd() : port_(free_port()), process_(command()) {}
  int port() const { return port_; }

 private:
  std::vector<std::string> command() const {
    const std::string client = "http://127.0.0.1:" + std::to_string(port_);
    const std::string peer = "http://127.0.0.1:" + std::to_string(free_port());
    return {"/usr/bin/etcd",
            "--name",
            "bench",
            "--data-dir",
            folder_.path() + "/data",
            "--listen-client-urls",
            client,
            "--advertise-client-urls",
            client,
            "--listen-peer-urls",
            peer,
            "--initial-advertise-peer-urls",
            peer,
            "--initial-cluster",
            "bench=" + peer,
            "--quota-backend-bytes",
            "8589934592",
            "--logger",
            "zap",
            "--log-outputs",
            folder_.path() + "/log"};
  }

  Folder folder_;
  const int port_;
  Process process_;
};

Shape etcd_shape() {
  Template made = etcd_put_request();
  return {"/etcdserverpb.KV/Put", made.bytes,
          [place = made.places[0], random = std::make_shared<Random>()](char* request) {
            Uuid::random(*random).write(request + place);
          },
          [](const grpc::ByteBuffer& reply) { return reply.Length() > 0; }};
}

// All that is in the folder and below.
void read_files(const std::string& folder) {
  std::vector<char> part(1 << 20);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    while (file.read(part.data(), static_cast<std::streamsize>(part.size()))) continue;
  }
}

}  // namespace

void measure_put_batch(std::vector<Figure>* figures, int rounds, int generations) {
  constexpr uint64_t kMessages = 100'000;  // a round
  constexpr int kRowsATransaction = 500;
  const std::string name = "sqlite, PutBatch of 100 x 1 KB, 64 in flight";
  const Shape shape = put_shape(kBatch);
  Turns turns;
  for (int generation = 0; generation < generations; ++generation) {
    StorageHost host;
    Folder folder;
    RawStore raw(folder.path());
    auto ours = [&] {
      return in_messages(host.caller().run(shape, kInFlight, times(kMessages / kBatch)));
    };
    auto theirs = [&] { return raw.put(kMessages, kRowsATransaction); };
    ours();  // warm
    theirs();
    turns.run(ours, theirs, rounds);
  }
  figures->push_back(turns.rate(name, "msg/s", kRaw, 1.0));
}

void measure_put_single(std::vector<Figure>* figures, int rounds, int generations) {
  if (!std::filesystem::exists("/usr/bin/etcd")) return;
  const std::string name = "sqlite, put of 1 x 1 KB, 64 in flight";
  const Shape put = put_shape(1);
  const Shape etcd_put = etcd_shape();
  Turns turns;
  for (int generation = 0; generation < generations; ++generation) {
    StorageHost host;
    Etcd etcd;
    // It is ready when it answers.
    (void)Caller("127.0.0.1:" + std::to_string(etcd.port()))
        .call(etcd_put.method, etcd_put.request);
    SmallCaller to_host(host.port(), put.method);
    SmallCaller to_etcd(etcd.port(), etcd_put.method);
    auto ours = [&] { return to_host.run(put, kInFlight, during(kRound)); };
    auto theirs = [&] { return to_etcd.run(etcd_put, kInFlight, during(kRound)); };
    ours();  // warm
    theirs();
    turns.run(ours, theirs, rounds);
  }
  figures->push_back(turns.rate(name, "calls/s", "etcd Put", 2.0));
  figures->push_back(turns.p99(name, "etcd Put"));
}

void measure_get_batch(std::vector<Figure>* figures, int rounds) {
  constexpr int kRowsATransaction = 500;
  StorageHost host;
  uint64_t next = 0;
  host.caller().run(numbered_put_shape(&next), kInFlight, times(kMillion / kBatch));
  Folder folder;
  RawStore raw(folder.path());
  raw.put(kMillion, kRowsATransaction);
  // What the kernel has thrown out of its cache meanwhile is not to count.
  read_files(host.folder());
  read_files(folder.path());
  const Shape shape = get_shape(kMillion);
  for (size_t in_flight : {size_t{1}, size_t{8}}) {
    // More threads than processors would only make it slower.
    const size_t clients = std::min<size_t>(in_flight, std::thread::hardware_concurrency());
    Turns turns;
    auto ours = [&] { return in_messages(host.caller().run(shape, in_flight, during(kRound))); };
    auto theirs = [&] { return in_messages(raw.get(clients, kRound)); };
    ours();  // warm
    theirs();
    turns.run(ours, theirs, rounds);
    const std::string name =
        "sqlite, GetBatch of 100 of 1 million, " + std::to_string(in_flight) + " in flight";
    figures->push_back(turns.rate(name, "msg/s", kRaw, 0.8));
    figures->push_back(turns.p99(name, kRaw));
  }
}

void measure_mailboxes(std::vector<Figure>* figures, int rounds) {
  constexpr uint64_t kMailboxes = 100;
  constexpr size_t kMany = 10;
  StorageHost host;
  const Shape put = put_shape(1);
  const Shape put_batch = put_shape(kBatch);
  auto measured = [&](const Shape& shape, std::chrono::milliseconds time) {
    return host.caller().run(shape, kInFlight, during(time));
  };
  for (size_t recipients : {size_t{1}, kMany}) {
    const Shape append = append_shape(recipients, kMailboxes);
    // So many that each mailbox has more than Read asks for.
    host.caller().run(append, kInFlight, times(400 * kMailboxes / recipients));
    Turns turns;
    turns.run([&] { return measured(append, kRound); }, [&] { return measured(put, kRound); },
              rounds);
    const std::string name = "sqlite, mailbox append, " + std::to_string(recipients) +
                             (recipients == 1 ? " recipient" : " recipients") + ", 64 in flight";
    figures->push_back(turns.rate(name, "calls/s", "put of 1", 0));
    figures->push_back(turns.p99(name, "put of 1"));
  }
  const Shape read = read_shape(kMailboxes);
  Turns turns;
  turns.run([&] { return in_messages(measured(read, kRound)); },
            [&] { return in_messages(measured(put_batch, kRound)); }, rounds);
  const std::string name = "sqlite, mailbox read of 100, 64 in flight";
  figures->push_back(turns.rate(name, "msg/s", "PutBatch of 100", 0));
  figures->push_back(turns.p99(name, "PutBatch of 100"));
}

}  // namespace imctl::bench
