// imctl-bench: the host against a plain gRPC server, in turns, with one client. Figures are medians
// of the rounds and ratios of rounds side by side, since machines drift.
//
//   imctl-bench [--rounds N] [--json FILE] [--only PREFIX] [--storage-messages N] [--users N]
//               [--backup-messages N]
//
//   --rounds            with each of three generations of servers
//   --only              the parts whose names begin so: calls, access, hops, log, start,
//   client-start,
//                       storage-put-batch, im-pairs, ...
//   --storage-messages  how many storage-growth puts; each million takes 1.2 GB of disk
//   --backup-messages   how many messages are backed up; each million takes 5 GB of disk
//   --users             how many users, each with a token, users has; a million takes some minutes
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "access.h"
#include "backup.h"
#include "client_start.h"
#include "hops.h"
#include "im.h"
#include "load.h"
#include "log.h"
#include "pair.h"
#include "process.h"
#include "report.h"
#include "storage.h"
#include "users.h"

namespace imctl::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kGenerations = 3;

Figure limit(const std::string& name, double value, const std::string& unit, double goal) {
  char words[64];
  std::snprintf(words, sizeof(words), "< %g %s", goal, unit.c_str());
  return {name, value, unit, "", std::nullopt, std::nullopt, words, value < goal};
}

void measure_calls(std::vector<Figure>* figures, int rounds) {
  auto unary = [](int in_flight) {
    return Pair([in_flight](Client& client) {
      return client.unary(in_flight, std::chrono::milliseconds(500));
    });
  };
  Pair one = unary(1);
  Pair many = unary(64);
  Pair streams([](Client& client) { return client.stream(50000); });
  std::vector<double> chains;
  // Where the scheduler puts a server's threads stays with it for its life: so several lives.
  for (int generation = 0; generation < kGenerations; ++generation) {
    Folder folder;
    int host_port = free_port();
    Process host(serve_command(folder.path(), host_port, "bench,bench-peer", IMCTL_BENCH_MODULES));
    int plain_port = free_port();
    Process plain({IMCTL_PLAIN_SERVER, "127.0.0.1:" + std::to_string(plain_port)});
    Client to_host("127.0.0.1:" + std::to_string(host_port));
    Client to_plain("127.0.0.1:" + std::to_string(plain_port));
    for (Pair* pair : {&one, &many, &streams}) pair->run(to_host, to_plain, rounds);
    for (int i = 0; i < rounds; ++i) chains.push_back(to_host.chain(100000) / 1000);
  }
  constexpr double kGoal = 0.95;
  const std::string plain_server = "plain gRPC server";
  one.add_calls(figures, "unary, 1 in flight", plain_server, kGoal);
  many.add_calls(figures, "unary, 64 in flight", plain_server, kGoal);
  streams.add_rate(figures, "server stream of 1 KB messages", "msg/s", plain_server, kGoal);
  figures->push_back(limit("call between two modules", median(chains), "us", 2));
}

// The installed set of modules, from nothing to an answered call.
void measure_start(std::vector<Figure>* figures, int rounds) {
  std::vector<double> starts, memory;
  for (int i = 0; i < rounds; ++i) {
    Folder folder;
    int port = free_port();
    Clock::time_point start = Clock::now();
    Process host(serve_command(folder.path(), port, "", IMCTL_MODULES));
    if (!wait_listening(port)) throw std::runtime_error("the host does not start");
    answered("127.0.0.1:" + std::to_string(port));
    starts.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    memory.push_back(host.resident_megabytes());
  }
  figures->push_back(limit("start to the first answered call", median(starts), "ms", 100));
  figures->push_back(limit("idle memory (resident)", median(memory), "MB", 30));
}

struct Options {
  int rounds = 5;
  std::string json = "build/bench.json";
  std::string only;
  uint64_t storage_messages = 2'000'000;
  uint64_t users = 1'000'000;
  uint64_t backup_messages = 500'000;
};

// Of the command line; false: it is no good.
bool read_options(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) return false;
    const char* value = argv[i + 1];
    if (name == "--rounds") {
      options->rounds = std::atoi(value);
    } else if (name == "--json") {
      options->json = value;
    } else if (name == "--only") {
      options->only = value;
    } else if (name == "--storage-messages") {
      options->storage_messages = std::strtoull(value, nullptr, 10);
    } else if (name == "--backup-messages") {
      options->backup_messages = std::strtoull(value, nullptr, 10);
    } else if (name == "--users") {
      options->users = std::strtoull(value, nullptr, 10);
    } else {
      return false;
    }
  }
  return options->rounds > 0 && options->users >= 10;
}

int run(int argc, char** argv) {
  Options options;
  if (!read_options(argc, argv, &options)) {
    std::fprintf(
        stderr,
        "usage: %s [--rounds N] [--json FILE] [--only PREFIX] [--storage-messages N] [--users N] "
        "[--backup-messages N]\n",
        argv[0]);
    return 2;
  }
  const int rounds = options.rounds;
  std::vector<Figure> figures;
  const std::pair<std::string, std::function<void()>> parts[] = {
      {"calls", [&] { measure_calls(&figures, rounds); }},
      {"access", [&] { measure_access(&figures, rounds); }},
      {"hops", [&] { measure_hops(&figures, rounds, kGenerations); }},
      {"log", [&] { measure_log(&figures, rounds, kGenerations); }},
      {"start", [&] { measure_start(&figures, rounds); }},
      {"client-start", [&] { measure_client_start(&figures, rounds); }},
      {"storage-put-batch", [&] { measure_put_batch(&figures, rounds, kGenerations); }},
      {"storage-put-single", [&] { measure_put_single(&figures, rounds, kGenerations); }},
      {"storage-get", [&] { measure_get_batch(&figures, rounds); }},
      {"storage-mailboxes", [&] { measure_mailboxes(&figures, rounds); }},
      {"storage-clean", [&] { measure_clean(&figures); }},
      {"storage-growth", [&] { measure_growth(&figures, rounds, options.storage_messages); }},
      {"users", [&] { measure_users(&figures, rounds, options.users); }},
      {"im-pairs", [&] { measure_im_pairs(&figures, rounds); }},
      {"im-latency", [&] { measure_im_latency(&figures, rounds); }},
      {"im-offline", [&] { measure_im_offline(&figures); }},
      {"im-idle", [&] { measure_im_idle(&figures, kGenerations); }},
      {"backup-sqlite", [&] { measure_backup(&figures, options.backup_messages); }},
#ifdef IMCTL_BENCH_POSTGRESQL
      {"im-cross", [&] { measure_im_cross(&figures, rounds); }},
      {"backup-postgresql", [&] { measure_backup_postgresql(&figures, options.backup_messages); }},
      {"storage-postgresql", [&] { measure_postgresql(&figures, rounds); }},
#endif
  };
  for (const auto& [name, measure] : parts) {
    if (name.starts_with(options.only)) measure();
  }
  if (figures.empty()) {
    std::fprintf(stderr, "imctl-bench: there is no part %s\n", options.only.c_str());
    return 2;
  }
  print_table(figures);
  write_json(figures, options.json);
  return 0;
}

}  // namespace
}  // namespace imctl::bench

int main(int argc, char** argv) {
  try {
    return imctl::bench::run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "imctl-bench: %s\n", e.what());
    return 1;
  }
}
