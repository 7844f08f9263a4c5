#include "hops.h"

#include <chrono>
#include <string>

#include "load.h"
#include "pair.h"
#include "process.h"

namespace imctl::bench {
namespace {

std::string local(int port) { return "127.0.0.1:" + std::to_string(port); }

struct Pairs {
  Pair one{[](Client& client) { return client.unary(1, std::chrono::milliseconds(500)); }};
  Pair many{[](Client& client) { return client.unary(64, std::chrono::milliseconds(500)); }};
  Pair streams{[](Client& client) { return client.stream(50000); }};

  void run(Client& ours, Client& theirs, int rounds) {
    for (Pair* pair : {&one, &many, &streams}) pair->run(ours, theirs, rounds);
  }
  void add(std::vector<Figure>* figures, const std::string& what, const std::string& against,
           double goal) const {
    one.add_calls(figures, what + ", unary, 1 in flight", against, goal);
    many.add_calls(figures, what + ", unary, 64 in flight", against, goal);
    streams.add_rate(figures, what + ", stream of 1 KB messages", "msg/s", against, goal);
  }
};

}  // namespace

void measure_hops(std::vector<Figure>* figures, int rounds, int generations) {
  Pairs isolated, remote, in_process;
  for (int generation = 0; generation < generations; ++generation) {
    Folder inside_folder, isolated_folder, remote_folder;
    int inside_port = free_port();
    Process inside(serve_command(inside_folder.path(), inside_port, "bench", IMCTL_BENCH_MODULES));
    int isolated_port = free_port();
    std::vector<std::string> apart =
        serve_command(isolated_folder.path(), isolated_port, "bench", IMCTL_BENCH_MODULES);
    apart.insert(apart.end(), {"--set", "bench.isolate=process"});
    Process isolated_host(apart);
    int plain_port = free_port();
    Process plain({IMCTL_PLAIN_SERVER, local(plain_port)});
    int relay_port = free_port();
    Process relay({IMCTL_PLAIN_SERVER, local(relay_port), local(plain_port)});
    Client to_inside(local(inside_port));
    Client to_isolated(local(isolated_port));
    Client to_relay(local(relay_port));
    int remote_port = free_port();
    std::vector<std::string> bound =
        serve_command(remote_folder.path(), remote_port, "bench-peer", IMCTL_BENCH_MODULES);
    bound.insert(bound.end(), {"--set", "bind.imctl.bench.v1.Bench=grpc://" + local(inside_port)});
    Process remote_host(bound);
    Client to_remote(local(remote_port));

    isolated.run(to_isolated, to_relay, rounds);
    remote.run(to_remote, to_relay, rounds);
    in_process.run(to_isolated, to_inside, rounds);
  }
  const std::string hop = "gRPC behind gRPC";
  isolated.add(figures, "isolated", hop, 1.0);
  remote.add(figures, "other host", hop, 0);
  in_process.add(figures, "isolated", "in process", 0);
}

}  // namespace imctl::bench
