#include "log.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "load.h"
#include "process.h"

namespace imctl::bench {
namespace {

constexpr std::chrono::milliseconds kTime{500};

// Rounds side by side: with what is looked at, and with what it is compared with.
struct Sides {
  std::vector<double> with;
  std::vector<double> without;

  Figure figure(const std::string& name, const std::string& against) const {
    std::vector<double> ratios;
    for (size_t i = 0; i < with.size(); ++i) ratios.push_back(with[i] / without[i]);
    return {name, median(with), "us", against, median(without), median(ratios), "", std::nullopt};
  }
  Figure figure(const std::string& name, const std::string& against, double goal) const {
    Figure made = figure(name, against);
    char words[32];
    (void)snprintf(words, sizeof(words), "ratio <= %g", goal);
    made.goal = words;
    made.met = *made.ratio <= goal;
    return made;
  }
};

}  // namespace

void measure_log(std::vector<Figure>* figures, int rounds, int generations) {
  constexpr uint32_t kPaced = 10'000;
  Sides paced, flooded, loud_or_quiet, busy;
  for (int generation = 0; generation < generations; ++generation) {
    Folder folder;
    int port = free_port();
    std::vector<std::string> command =
        serve_command(folder.path(), port, "bench,bench-peer", IMCTL_BENCH_MODULES);
    command.insert(command.end(), {"--set", "host.log_level=info", "--set",
                                   "host.log_file=" + folder.path() + "/log"});
    Process host(command);
    Client client("127.0.0.1:" + std::to_string(port));
    auto p99 = [&](uint32_t rate, bool silent) {
      std::unique_ptr<Flood> flood = client.flood(rate, silent);
      return client.unary(1, kTime).p99_us;
    };
    (void)client.unary(1, kTime);  // warm
    for (int i = 0; i < rounds; ++i) {
      double quiet = client.unary(1, kTime).p99_us;
      double some = p99(kPaced, false);
      double silent = p99(0, true);
      double loud = p99(0, false);
      paced.with.push_back(some);
      paced.without.push_back(quiet);
      flooded.with.push_back(loud);
      flooded.without.push_back(silent);
      loud_or_quiet.with.push_back(loud);
      loud_or_quiet.without.push_back(quiet);
      busy.with.push_back(silent);
      busy.without.push_back(quiet);
    }
  }
  constexpr double kGoal = 1.5;
  const std::string quiet = "no lines";
  const std::string silent = "a busy thread that logs nothing";
  figures->push_back(paced.figure("call p99 beside 10,000 lines/s of log", quiet));
  figures->push_back(loud_or_quiet.figure("call p99 beside a flood of log lines", quiet));
  figures->push_back(busy.figure("call p99 beside a busy thread that logs nothing", quiet));
  figures->push_back(flooded.figure("call p99 beside a flood of log lines", silent, kGoal));
}

}  // namespace imctl::bench
