#include "writer.h"

#include <pthread.h>

#include <algorithm>
#include <string>
#include <type_traits>

namespace imctl::storage {
namespace {

// What a write, and each thing in it, takes beside its own bytes.
constexpr size_t kWriteOverhead = 512;
constexpr size_t kItemOverhead = 96;

size_t size_of(const PutMessages& work) {
  return work.bytes.size() + work.items.size() * kItemOverhead;
}
size_t size_of(const DeleteMessages& work) {
  size_t size = 0;
  for (const std::string& id : work.ids) size += id.size() + kItemOverhead;
  return size;
}
size_t size_of(const AppendMessage& work) {
  size_t size = work.bytes.size();
  for (const std::string& mailbox : work.mailboxes) size += 2 * (mailbox.size() + kItemOverhead);
  return size;
}
size_t size_of(const CommitRecords& work) {
  size_t size = 0;
  for (const RecordWrite& write : work.writes) {
    size += write.collection.size() + write.key.size() + write.value.size() + kItemOverhead;
    for (const RecordIndex& index : write.indexes) {
      size += index.name.size() + index.value.size() + kItemOverhead;
    }
  }
  return size;
}
size_t size_of(const LoadSnapshot& work) {
  size_t size = 0;
  for (const v1::SnapshotItem& item : work.items) size += item.ByteSizeLong() + kItemOverhead;
  return size;
}
template <class Other>
size_t size_of(const Other& /*work*/) {
  return 0;
}

// Of a write in parts the next one waits for this many times what the last one took, so that others
// are hardly held up; or, when nobody else writes, for as long as it took.
constexpr int kPause = 20;

Status loading() {
  return {IMCTL_FAILED_PRECONDITION,
          "a snapshot is being loaded, or a load did not come to its end: load it again"};
}

Status replacing() {
  return {IMCTL_UNAVAILABLE,
          "all that is stored is being replaced by a snapshot, and nothing can be written "
          "meanwhile: try again when that is over"};
}

}  // namespace

Job::Job(Write work)
    : work_(std::move(work)),
      bytes_(kWriteOverhead + std::visit([](const auto& it) { return size_of(it); }, work_)) {}

bool Job::more() {
  return std::visit(
      [this](auto& work) {
        using Work = std::decay_t<decltype(work)>;
        if constexpr (std::is_same_v<Work, CleanMessages> || std::is_same_v<Work, CleanMailboxes>) {
          removed_ += work.removed;
          return work.more;
        } else if constexpr (std::is_same_v<Work, DeleteMailbox>) {
          work.begun = true;
          return work.more;
        } else {
          return false;
        }
      },
      work_);
}

WriterMetrics::WriterMetrics(const Host& host)
    : writes(host.counter("imctl_storage_writes_total", "Requests that were written")),
      commits(host.counter("imctl_storage_commits_total",
                           "Transactions, each with one sync, that the writes took")),
      commit_seconds(host.histogram("imctl_storage_commit_seconds", "Time of a transaction")),
      queue_bytes(host.gauge("imctl_storage_queue_bytes", "Bytes that wait to be written")) {}

Writer::Writer(Engine* engine, Watchers* watchers, size_t max_bytes, const WriterMetrics& metrics,
               std::chrono::milliseconds interval, std::function<void()> tick)
    : engine_(engine),
      watchers_(watchers),
      max_bytes_(max_bytes),
      metrics_(metrics),
      interval_(interval),
      tick_(std::move(tick)),
      thread_([this] { loop(); }) {
  pthread_setname_np(thread_.native_handle(), "storage-writer");
}

Writer::~Writer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Writer::enter(std::unique_ptr<Job> job) {
  const size_t size = job->bytes();
  std::unique_lock lock(mutex_);
  if (bytes_ != 0 && bytes_ + size > max_bytes_) {
    lock.unlock();
    return job->finish(
        Status(IMCTL_RESOURCE_EXHAUSTED,
               "too much waits to be written: try again in a moment, or raise queue_bytes, " +
                   std::to_string(max_bytes_) + " now"));
  }
  bytes_ += size;
  metrics_.queue_bytes.set(static_cast<double>(bytes_));
  waiting_.push_back(std::move(job));
  lock.unlock();
  wake_.notify_one();
}

Writer::Load Writer::load() {
  std::lock_guard lock(mutex_);
  return {waiting_.size(), bytes_};
}

void Writer::loop() {
  Clock::time_point next = Clock::now() + interval_;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_until(lock, in_parts_.empty() ? next : std::min(next, next_part()),
                     [this] { return stopping_ || !waiting_.empty(); });
    if (Clock::now() >= next && !stopping_) {
      next = Clock::now() + interval_;
      lock.unlock();
      tick_();
      lock.lock();
    }
    if (waiting_.empty() && stopping_) break;
    Jobs jobs = std::exchange(waiting_, {});
    lock.unlock();
    while (!jobs.empty()) {
      write(next_group(&jobs));
      ended_ = Clock::now();
    }
    if (!in_parts_.empty() && Clock::now() >= next_part()) go_on();
    lock.lock();
  }
  lock.unlock();
  // The next start, or the next clean, takes up the rest.
  for (auto& job : in_parts_) {
    job->finish(
        {IMCTL_UNAVAILABLE, "the storage was stopped before all of it was done: try again"});
  }
}

Writer::Clock::time_point Writer::next_part() const {
  const Clock::time_point quiet = std::max(ended_, part_ended_) + part_took_;
  return std::min(quiet, part_ended_ + kPause * part_took_);
}

// The next part of the write whose turn it is.
void Writer::go_on() {
  const Clock::time_point start = Clock::now();
  Jobs one;
  one.push_back(std::move(in_parts_.front()));
  in_parts_.pop_front();
  while (!one.empty()) write(next_group(&one));
  part_ended_ = Clock::now();
  part_took_ = part_ended_ - start;
}

Writer::Jobs Writer::next_group(Jobs* jobs) {
  Jobs group;
  while (!jobs->empty()) {
    const bool load = std::holds_alternative<LoadSnapshot>(jobs->front()->work());
    if (load && !group.empty()) break;
    std::unique_ptr<Job> job = std::move(jobs->front());
    jobs->pop_front();
    if (!load && engine_->loading()) {
      after(std::move(job), loading());
      continue;
    }
    if (!load && engine_->replacing()) {
      after(std::move(job), replacing());
      continue;
    }
    group.push_back(std::move(job));
    if (load) break;
  }
  return group;
}

void Writer::write(Jobs group) {
  if (group.empty()) return;
  Status status = commit(group);
  // Whatever is wrong with the store is wrong for each of them.
  bool all_alike = status.code() == IMCTL_UNAVAILABLE || status.code() == IMCTL_DATA_LOSS ||
                   status.code() == IMCTL_FAILED_PRECONDITION;
  if (status.ok() || all_alike || group.size() == 1) {
    for (auto& job : group) after(std::move(job), status);
    return;
  }
  // One of them may be to blame, or all may be too large together: each for itself then.
  for (auto& job : group) {
    Jobs single;
    single.push_back(std::move(job));
    status = commit(single);
    after(std::move(single.front()), status);
  }
}

Status Writer::commit(Jobs& jobs) {
  const Clock::time_point start = Clock::now();
  std::vector<Write*> works;
  works.reserve(jobs.size());
  for (auto& job : jobs) works.push_back(&job->work());
  Status status = engine_->commit(works);
  if (status.ok()) {
    metrics_.writes.add(static_cast<double>(jobs.size()));
    metrics_.commits.add();
    metrics_.commit_seconds.observe(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return status;
}

void Writer::after(std::unique_ptr<Job> job, const Status& status) {
  if (status.ok()) tell(job->work());
  if (status.ok() && job->more()) {
    in_parts_.push_back(std::move(job));
    return;
  }
  {
    std::lock_guard lock(mutex_);
    bytes_ -= job->bytes();
    metrics_.queue_bytes.set(static_cast<double>(bytes_));
  }
  job->finish(status);
}

void Writer::tell(const Write& work) {
  if (const auto* append = std::get_if<AppendMessage>(&work)) {
    if (append->duplicate) return;
    for (const Place& place : append->places) {
      watchers_->tell(Watchers::Kind::kMailbox, place.mailbox);
    }
  } else if (const auto* gone = std::get_if<DeleteMailbox>(&work)) {
    watchers_->tell(Watchers::Kind::kMailbox, gone->mailbox);
  } else if (const auto* records = std::get_if<CommitRecords>(&work)) {
    if (!records->outcome.ok()) return;
    for (const RecordWrite& write : records->writes) {
      watchers_->tell(Watchers::Kind::kCollection, write.collection);
    }
  } else if (std::holds_alternative<LoadSnapshot>(work)) {
    watchers_->tell_all();
  }
}

}  // namespace imctl::storage
