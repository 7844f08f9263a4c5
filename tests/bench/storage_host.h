// The host with a storage back end, and the calls that it is measured with.
#ifndef IMCTL_TESTS_BENCH_STORAGE_HOST_H
#define IMCTL_TESTS_BENCH_STORAGE_HOST_H

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "process.h"
#include "report.h"
#include "storage_load.h"
#include "storage_requests.h"

namespace imctl::bench {

class StorageHost {
 public:
  // `settings`: "storage-sqlite.retention=1s", ...
  explicit StorageHost(std::string module = "storage-sqlite",
                       const std::vector<std::string>& settings = {});
  // With the same data.
  void restart(const std::vector<std::string>& settings);

  Caller& caller() { return *caller_; }
  int port() const { return port_; }
  std::string address() const;
  const std::string& folder() const { return folder_.path(); }
  double resident_megabytes() const { return process_->resident_megabytes(); }
  double peak_megabytes() const { return process_->peak_megabytes(); }
  double cpu_seconds() const { return process_->cpu_seconds(); }

 private:
  void start(const std::vector<std::string>& settings);

  const std::string module_;
  Folder folder_;
  int port_ = 0;
  std::optional<Process> process_;
  std::unique_ptr<Caller> caller_;
};

// PutBatch of that many messages, each with a new id.
Shape put_shape(size_t messages);
// PutBatch of kBatch messages with the ids of Uuid::numbered from `*next` on, which it moves.
Shape numbered_put_shape(uint64_t* next);
// GetBatch of kBatch random ids of the first `stored` of Uuid::numbered.
Shape get_shape(uint64_t stored);
// Append to random ones of that many mailboxes.
Shape append_shape(size_t recipients, uint64_t mailboxes);
// Read of kBatch entries of a random one of the mailboxes, after one of its first 127.
Shape read_shape(uint64_t mailboxes);

// The rate in messages, of one in calls of `messages`.
Load in_messages(Load load, size_t messages = kBatch);

// Two things measured in turns; as Pair, for what is no plain server.
class Turns {
 public:
  using Measure = std::function<Load()>;
  void run(const Measure& ours, const Measure& theirs, int rounds);

  // `goal`: the least ratio; 0: none.
  Figure rate(const std::string& name, const std::string& unit, const std::string& against,
              double goal) const;
  Figure p99(const std::string& name, const std::string& against) const;

 private:
  Figure figure(const std::string& name, const std::string& unit, const std::string& against,
                double Load::*what) const;

  std::vector<Load> ours_, theirs_;
};

// Sets the goal of a figure that has a ratio.
Figure with_goal(Figure figure, double goal);
Figure plain(const std::string& name, double value, const std::string& unit);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_STORAGE_HOST_H
