// imctl-bench: the host against a plain gRPC server, in turns, with one client. Figures are medians
// of the rounds and ratios of rounds side by side, since machines drift.
//
//   imctl-bench [--rounds N] [--json FILE]      N: with each of three generations of servers
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <thread>
#include <utility>

#include "hops.h"
#include "load.h"
#include "pair.h"
#include "process.h"
#include "report.h"

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

int run(int argc, char** argv) {
  int rounds = 5;
  std::string json = "build/bench.json";
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--rounds") == 0) rounds = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--json") == 0) json = argv[i + 1];
  }
  if (argc % 2 == 0 || rounds < 1) {
    std::fprintf(stderr, "usage: %s [--rounds N] [--json FILE]\n", argv[0]);
    return 2;
  }
  std::vector<Figure> figures;
  measure_calls(&figures, rounds);
  measure_hops(&figures, rounds, kGenerations);
  measure_start(&figures, rounds);
  print_table(figures);
  write_json(figures, json);
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
