#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "im.h"
#include "im_chat.h"
#include "storage_host.h"
#include "stored_users.h"
#ifdef IMCTL_BENCH_POSTGRESQL
#include "ejabberd.h"
#include "xmpp_chat.h"
#endif

namespace imctl::bench {
namespace {

constexpr char kModules[] = "storage-sqlite,user,router";
constexpr std::chrono::milliseconds kRound{1500};
constexpr std::chrono::milliseconds kWarm{500};

// What is measured in turns.
struct Side {
  std::unique_ptr<Chat> chat;
  std::function<double()> cpu;
  std::vector<ChatLoad> loads;

  void run(std::chrono::milliseconds time) { loads.push_back(full_load(chat.get(), time, cpu)); }
};

Figure compared(const std::string& name, const std::string& unit, double ChatLoad::*what,
                const Side& ours, const Side* theirs, const std::string& against) {
  std::vector<double> mine, other, ratios;
  for (size_t i = 0; i < ours.loads.size(); ++i) {
    mine.push_back(ours.loads[i].*what);
    if (theirs == nullptr) continue;
    other.push_back(theirs->loads[i].*what);
    ratios.push_back(mine.back() / other.back());
  }
  Figure figure = plain(name, median(mine), unit);
  if (theirs == nullptr) return figure;
  figure.against = against;
  figure.against_value = median(other);
  figure.ratio = median(ratios);
  return figure;
}

void add_all(std::vector<Figure>* figures, const std::string& name, const Side& ours,
             const Side* archived, const Side* bare) {
  const std::string with = "ejabberd, archive";
  const std::string without = "no archive";
  constexpr double kGoal = 5;
  figures->push_back(compared(name, "msg/s", &ChatLoad::per_second, ours, archived, with));
  const std::string a_cpu_second = name + ", a CPU-second";
  Figure figure = compared(a_cpu_second, "msg", &ChatLoad::per_cpu_second, ours, archived, with);
  figures->push_back(archived == nullptr ? figure : with_goal(figure, kGoal));
  figures->push_back(compared(name + ", p50", "us", &ChatLoad::p50_us, ours, archived, with));
  figures->push_back(compared(name + ", p99", "us", &ChatLoad::p99_us, ours, archived, with));
  if (bare == nullptr) return;
  figures->push_back(compared(a_cpu_second, "msg", &ChatLoad::per_cpu_second, ours, bare, without));
}

// Of a page that is appended to a file and made durable.
double fsync_microseconds(const std::string& folder) {
  constexpr size_t kPage = 4096;
  const std::string page(kPage, 'x');
  const int file = open((folder + "/fsync").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  std::vector<double> micros;
  for (int i = 0; i < 100; ++i) {
    const auto start = Chat::Clock::now();
    const bool good = write(file, page.data(), page.size()) == static_cast<ssize_t>(page.size()) &&
                      fdatasync(file) == 0;
    if (!good) throw std::runtime_error("cannot write to " + folder);
    micros.push_back(std::chrono::duration<double, std::micro>(Chat::Clock::now() - start).count());
  }
  close(file);
  return median(micros);
}

void measure_users(std::vector<Figure>* figures, int rounds, size_t users) {
  StorageHost host(kModules);
  store_users(&host.caller(), users);
  Side ours{std::make_unique<ImChat>(host.port(), host.port(), users),
            [&host] { return host.cpu_seconds(); },
            {}};
  std::vector<Side*> sides = {&ours};
#ifdef IMCTL_BENCH_POSTGRESQL
  std::optional<Ejabberd> with, without;
  Side archived, bare;
  std::string problem = no_ejabberd();
  if (problem.empty()) {
    try {
      with.emplace(users, true);
      without.emplace(users, false);
      archived = {std::make_unique<XmppChat>(with->port(), users),
                  [&with] { return with->cpu_seconds(); },
                  {}};
      bare = {std::make_unique<XmppChat>(without->port(), users),
              [&without] { return without->cpu_seconds(); },
              {}};
      sides.insert(sides.end(), {&archived, &bare});
    } catch (const std::exception& error) {
      problem = error.what();
    }
  }
  if (!problem.empty()) {
    std::fprintf(stderr, "im-pairs: not compared with ejabberd: %s\n", problem.c_str());
  }
#endif
  for (Side* side : sides) (void)full_load(side->chat.get(), kWarm, side->cpu);
  for (int i = 0; i < rounds; ++i) {
    // Who is first changes.
    for (size_t k = 0; k < sides.size(); ++k) {
      sides[(k + static_cast<size_t>(i)) % sides.size()]->run(kRound);
    }
  }
  add_all(figures, "im, " + std::to_string(users) + " users in pairs", ours,
          sides.size() > 1 ? sides[1] : nullptr, sides.size() > 2 ? sides[2] : nullptr);
}

}  // namespace

void measure_im_pairs(std::vector<Figure>* figures, int rounds) {
  for (size_t users : {size_t{200}, size_t{400}}) measure_users(figures, rounds, users);
}

void measure_im_latency(std::vector<Figure>* figures, int rounds) {
  constexpr size_t kUsers = 200;
  constexpr double kGoal = 20000;
  StorageHost host(kModules);
  store_users(&host.caller(), kUsers);
  ImChat chat(host.port(), host.port(), kUsers);
  auto cpu = [&host] { return host.cpu_seconds(); };
  (void)full_load(&chat, kWarm, cpu);
  std::vector<double> p50, p99, rates, syncs;
  for (int i = 0; i < rounds; ++i) {
    const double half = full_load(&chat, kRound, cpu).per_second / 2;
    const ChatLoad load = paced_load(&chat, kRound, half, cpu);
    rates.push_back(load.per_second);
    p50.push_back(load.p50_us);
    p99.push_back(load.p99_us);
    syncs.push_back(fsync_microseconds(host.folder()));
  }
  const std::string name = "im, half of full load";
  const double sync = median(syncs);
  figures->push_back(plain(name, median(rates), "msg/s"));
  figures->push_back(plain(name + ", p50", median(p50), "us"));
  Figure figure = plain(name + ", p99", median(p99), "us");
  figure.against = "an fsync";
  figure.against_value = sync;
  figure.ratio = figure.value / sync;
  figure.goal = "< 20 ms + it";
  figure.met = figure.value < kGoal + sync;
  figures->push_back(figure);
}

}  // namespace imctl::bench
