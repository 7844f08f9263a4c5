#include "backup.h"

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "storage_host.h"
#ifdef IMCTL_BENCH_POSTGRESQL
#include "test_server.h"
#endif

namespace imctl::bench {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
constexpr double kMega = 1e6;
constexpr size_t kInFlight = 4;
constexpr std::chrono::seconds kRound{4};

double seconds_of(const std::function<void()>& work) {
  const Clock::time_point start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

void imctl(const StorageHost& host, const std::string& arguments) {
  shell(std::string(IMCTL_PROGRAM) + " " + arguments + " --server " + host.address() +
        " > /dev/null 2>&1");
}

// The most memory that the host has while it lives.
class Memory {
 public:
  explicit Memory(const StorageHost& host)
      : thread_([this, &host] {
          while (!over_) {
            most_ = std::max(most_, host.resident_megabytes());
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
          }
        }) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { stop(); }
  double stop() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
    return most_;
  }

 private:
  std::atomic<bool> over_{false};
  double most_ = 0;
  std::thread thread_;
};

void fill(StorageHost& host, uint64_t messages) {
  uint64_t next = 0;
  host.caller().run(numbered_put_shape(&next), kInFlight,
                    [&] { return next + kInFlight * kBatch <= messages; });
}

// The only backup in the folder.
uint64_t size_of_backup(const std::string& folder) {
  uint64_t size = 0;
  for (const auto& entry : fs::directory_iterator(folder)) size += entry.file_size();
  return size;
}

Figure compared(const std::string& name, double value, const std::string& unit,
                const std::string& against, double theirs) {
  return {name, value, unit, against, theirs, value / theirs, "", std::nullopt};
}

// As `.backup` of the sqlite3 program does it.
void sqlite_backup(const std::string& from, const std::string& to) {
  sqlite3* source = nullptr;
  sqlite3* target = nullptr;
  bool good = sqlite3_open_v2(from.c_str(), &source, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK &&
              sqlite3_open(to.c_str(), &target) == SQLITE_OK;
  if (good) {
    sqlite3_backup* backup = sqlite3_backup_init(target, "main", source, "main");
    good = backup != nullptr && sqlite3_backup_step(backup, -1) == SQLITE_DONE;
    good = sqlite3_backup_finish(backup) == SQLITE_OK && good;
  }
  sqlite3_close(source);
  sqlite3_close(target);
  if (!good) throw std::runtime_error("sqlite3 cannot copy " + from);
}

struct Taken {
  double create = 0;   // seconds
  double restore = 0;  // seconds
  double create_memory = 0;
  double restore_memory = 0;
  uint64_t size = 0;
};

Taken take(const StorageHost& host, const std::string& folder) {
  Taken taken;
  {
    Memory memory(host);
    taken.create = seconds_of([&] { imctl(host, "backup create --to " + folder + "/ours.imctl"); });
    taken.create_memory = memory.stop();
  }
  taken.size = size_of_backup(folder);
  Memory memory(host);
  // A backup of what is there is made before, too.
  taken.restore = seconds_of(
      [&] { imctl(host, "backup restore --upload " + folder + "/ours.imctl --replace --yes"); });
  taken.restore_memory = memory.stop();
  return taken;
}

void report(std::vector<Figure>* figures, const std::string& where, const Taken& ours,
            const std::string& tool, double their_create, uint64_t their_size, double content) {
  figures->push_back(compared(where + ": backup create", content / ours.create, "MB/s", tool,
                              content / their_create));
  figures->push_back(plain(where + ": backup restore --replace (check, safety backup, load)",
                           content / ours.restore, "MB/s"));
  figures->push_back(compared(where + ": size", static_cast<double>(ours.size) / kMega, "MB",
                              tool + " and zstd -3", static_cast<double>(their_size) / kMega));
  figures->push_back(plain(where + ": memory of the host, create", ours.create_memory, "MB"));
  figures->push_back(plain(where + ": memory of the host, restore", ours.restore_memory, "MB"));
}

}  // namespace

void measure_backup(std::vector<Figure>* figures, uint64_t messages) {
  StorageHost host("storage-sqlite,backup", {"storage-sqlite.retention=8760h"});
  Folder folder;
  fill(host, messages);
  figures->push_back(plain("backup: memory of the host before", host.resident_megabytes(), "MB"));
  const std::string ours = folder.path() + "/ours";
  fs::create_directory(ours);
  const Taken taken = take(host, ours);
  const std::string copy = folder.path() + "/copy.db";
  const double copied =
      seconds_of([&] { sqlite_backup(host.folder() + "/storage-sqlite/messages.db", copy); });
  shell("zstd -q -3 " + copy + " -o " + copy + ".zst");
  report(figures, "sqlite", taken, "sqlite3 .backup", copied, fs::file_size(copy + ".zst"),
         static_cast<double>(messages * kMessageBytes) / kMega);

  // Puts at full load, in turns with and without backups going on.
  Turns turns;
  auto puts = [&] {
    const Clock::time_point until = Clock::now() + kRound;
    return host.caller().run(put_shape(1), 64, [&] { return Clock::now() < until; });
  };
  const int rounds = 3;
  turns.run(
      [&] {
        std::atomic<bool> over{false};
        std::thread backups([&] {
          while (!over) {
            imctl(host, "backup create --to " + folder.path() + "/again.imctl");
            fs::remove(folder.path() + "/again.imctl");
          }
        });
        const Load load = puts();
        over = true;
        backups.join();
        return load;
      },
      puts, rounds);
  Figure p99 = turns.p99("sqlite: p99 of puts at full load while a backup is made", "without");
  p99.goal = "< 2x";
  p99.met = p99.ratio && *p99.ratio < 2;
  figures->push_back(p99);
  figures->push_back(
      turns.rate("sqlite: puts at full load while a backup is made", "msg/s", "without", 0));
}

#ifdef IMCTL_BENCH_POSTGRESQL
void measure_backup_postgresql(std::vector<Figure>* figures, uint64_t messages) {
  storage::TestServer server;
  StorageHost host("storage-postgresql,backup", {"storage-postgresql.uri=" + server.uri(),
                                                 "storage-postgresql.retention=8760h"});
  Folder folder;
  fill(host, messages);
  const std::string ours = folder.path() + "/ours";
  fs::create_directory(ours);
  const std::string dump = folder.path() + "/dump";
  const double dumped =
      seconds_of([&] { shell("pg_dump -Fc -Z0 -f " + dump + " '" + server.uri() + "'"); });
  shell("zstd -q -3 " + dump + " -o " + dump + ".zst");
  const Taken taken = take(host, ours);
  report(figures, "postgresql", taken, "pg_dump", dumped, fs::file_size(dump + ".zst"),
         static_cast<double>(messages * kMessageBytes) / kMega);
}
#endif

}  // namespace imctl::bench
