// The three things that are written. `Done` is called with how a job ended and how many messages it
// stored or removed; see Job for when and where.
#ifndef IMCTL_STORAGE_SQLITE_JOBS_H
#define IMCTL_STORAGE_SQLITE_JOBS_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "message.h"
#include "writer.h"

namespace imctl::storage {

// What a job, row or id takes beside its own bytes, roughly.
constexpr size_t kJobOverhead = 256;
constexpr size_t kItemOverhead = 96;

// Stores rows, of which there is at least one. ALREADY_EXISTS if not even the first can be.
template <class Done>
class PutJob final : public Job {
 public:
  PutJob(std::vector<Row> rows, Done done) : rows_(std::move(rows)), done_(std::move(done)) {
    for (const Row& row : rows_) bytes_ += row.id.size() + row.data.size() + kItemOverhead;
  }
  size_t bytes() const override { return bytes_; }
  void run(Store& store) override { stored_ = store.put(rows_); }
  void finish(const Status& status) override {
    if (status.ok() && stored_ == 0) {
      done_(Status(IMCTL_ALREADY_EXISTS, describe(0, rows_[0].id) +
                                             ": another message with this id is stored: use a new "
                                             "id, or delete that one first"),
            0);
    } else {
      done_(status, stored_);
    }
  }

 private:
  std::vector<Row> rows_;
  Done done_;
  size_t bytes_ = kJobOverhead;
  size_t stored_ = 0;
};

// Removes messages by id.
template <class Done>
class RemoveJob final : public Job {
 public:
  RemoveJob(std::vector<std::string> ids, Done done)
      : ids_(std::move(ids)), done_(std::move(done)) {
    for (const std::string& id : ids_) bytes_ += id.size() + kItemOverhead;
  }
  size_t bytes() const override { return bytes_; }
  void run(Store& store) override { removed_ = store.remove(ids_); }
  void finish(const Status& status) override { done_(status, removed_); }

 private:
  std::vector<std::string> ids_;
  Done done_;
  size_t bytes_ = kJobOverhead;
  size_t removed_ = 0;
};

// Removes what was stored at or before `since`, in parts, so that puts get in between.
template <class Done>
class CleanJob final : public Job {
 public:
  CleanJob(int64_t since, Done done) : since_(since), done_(std::move(done)) {}
  size_t bytes() const override { return kJobOverhead; }
  void run(Store& store) override { part_ = store.clean(since_, kPart); }
  bool more() override {
    removed_ += std::exchange(part_, 0);
    return removed_ == ++parts_ * kPart;
  }
  void finish(const Status& status) override { done_(status, removed_); }

 private:
  static constexpr size_t kPart = 1000;

  const int64_t since_;
  Done done_;
  size_t part_ = 0;
  uint64_t parts_ = 0;
  uint64_t removed_ = 0;
};

template <template <class> class JobType, class Arg, class Done>
std::unique_ptr<Job> make_job(Arg arg, Done done) {
  return std::make_unique<JobType<Done>>(std::move(arg), std::move(done));
}

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_JOBS_H
