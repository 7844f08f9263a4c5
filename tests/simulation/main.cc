// imctl-simulation: runs the router's machines in worlds made of seeds, and says which seed breaks
// a promise.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "figures.h"
#include "world.h"

namespace {

using imctl::simulation::Broken;
using imctl::simulation::Options;
using imctl::simulation::Summary;
using imctl::simulation::World;
using Clock = std::chrono::steady_clock;

int usage() {
  std::fputs(
      "imctl-simulation --seeds A..B        runs each of these, stops at the first that fails\n"
      "imctl-simulation --seed N [--trace]  runs one, and tells what happens in it\n"
      "imctl-simulation --hours H [--seeds A..]   runs longer worlds for so long (may be 0.5)\n"
      "imctl-simulation --figures           how frames, bytes and times grow with nodes, services, "
      "users\n",
      stderr);
  return 2;
}

bool run(const Options& options, Summary* total) {
  World world(options);
  try {
    const Summary summary = world.run();
    total->events += summary.events;
    total->messages += summary.messages;
    total->delivered += summary.delivered;
    total->faults += summary.faults;
    total->frames += summary.frames;
    return true;
  } catch (const Broken& broken) {
    std::printf("seed %llu FAILED %s\nagain: imctl-simulation --seed %llu%s --trace\n",
                static_cast<unsigned long long>(options.seed), broken.what(),
                static_cast<unsigned long long>(options.seed),
                options.length == Options().length ? "" : " --long");
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t first = 1;
  uint64_t last = 0;
  double hours = 0;
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--figures") return imctl::simulation::figures();
    if (flag == "--trace") {
      options.trace = true;
    } else if (flag == "--long") {
      options.length = 600000;
    } else if (flag == "--seed" || flag == "--seeds") {
      first = last = std::strtoull(value, nullptr, 10);
      if (const char* const dots = std::strstr(value, ".."))
        last = std::strtoull(dots + 2, nullptr, 10);
      ++i;
    } else if (flag == "--hours") {
      hours = std::strtod(value, nullptr);
      options.length = 600000;
      ++i;
    } else {
      return usage();
    }
  }
  if (last == 0 && hours <= 0) return usage();
  const auto begin = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  Summary total;
  uint64_t runs = 0;
  for (options.seed = first; hours > 0 ? seconds() < hours * 3600 : options.seed <= last;
       ++options.seed, ++runs) {
    if (!run(options, &total)) return 1;
  }
  std::printf(
      "%llu seeds, none fails: %llu messages, %llu deliveries, %llu frames, %llu faults, %llu "
      "events; "
      "%.1f seeds/s\n",
      static_cast<unsigned long long>(runs), static_cast<unsigned long long>(total.messages),
      static_cast<unsigned long long>(total.delivered),
      static_cast<unsigned long long>(total.frames), static_cast<unsigned long long>(total.faults),
      static_cast<unsigned long long>(total.events), static_cast<double>(runs) / seconds());
  return 0;
}
