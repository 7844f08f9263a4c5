#include "changes.h"

#include <algorithm>
#include <utility>

namespace imctl::user {
namespace {

using auth::v1::Change;
using Clock = std::chrono::steady_clock;

constexpr size_t kMostWaiting = 10000;
constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{2000};

}  // namespace

// One collection that is watched.
struct Changes::Feed {
  using Stream = ClientStream<storage::v1::WatchRecordsRequest, storage::v1::Change>;

  const char* collection;
  bool users;  // else tokens
  bool running = false;
  bool hears = false;
  std::shared_ptr<Stream> stream;
  uint64_t revision = 0;
  std::string problem = "not begun";
  std::chrono::milliseconds pause = kFirstPause;
  Clock::time_point next;
};

Changes::Listener::End Changes::Listener::take(std::vector<Change>* out) {
  std::lock_guard lock(mutex_);
  out->clear();
  out->swap(waiting_);
  return end_;
}

void Changes::Listener::tell(const Change& change) {
  {
    std::lock_guard lock(mutex_);
    if (waiting_.size() == 1 && waiting_[0].all()) return;
    if (waiting_.size() >= kMostWaiting) {
      waiting_.assign(1, Change());
      waiting_[0].set_all(true);
    } else {
      waiting_.push_back(change);
    }
  }
  news_.set();
}

void Changes::Listener::end(End why) {
  {
    std::lock_guard lock(mutex_);
    if (end_ == End::kNo) end_ = why;
  }
  news_.set();
}

Changes::Changes(const Host& host, Store* store)
    : host_(host), store_(store), watch_(host, "/imctl.storage.v1.Records/Watch") {
  for (const char* collection : {kUsers, kTokens}) {
    feeds_.push_back(std::make_unique<Feed>());
    feeds_.back()->collection = collection;
    feeds_.back()->users = collection == kUsers;
  }
}

Changes::~Changes() = default;

void Changes::begin() {
  std::lock_guard lock(mutex_);
  stopping_ = false;
  for (const auto& feed : feeds_) feed->next = Clock::time_point();
}

void Changes::tick() {
  for (const auto& feed : feeds_) {
    {
      std::lock_guard lock(mutex_);
      if (stopping_ || feed->running || Clock::now() < feed->next) continue;
      feed->running = true;
    }
    run(feed.get());
  }
}

detail::Detached Changes::run(Feed* feed) {
  Status status;
  try {
    status = co_await follow(feed);
  } catch (const std::exception& e) {
    status = Status(IMCTL_INTERNAL, e.what());
  }
  std::shared_ptr<Feed::Stream> stream;
  bool heard = false;
  bool stopping = false;
  {
    std::lock_guard lock(mutex_);
    stopping = stopping_;
    stream = std::move(feed->stream);
    heard = std::exchange(feed->hears, false);
    feed->problem = status.message();
    feed->next = Clock::now() + feed->pause;
    feed->pause = std::min(2 * feed->pause, kLongestPause);
  }
  if (heard && !stopping) {
    host_.warn(std::string("changes of ") + feed->collection +
               " are not heard of any more, beginning again: " + status.message());
    end_all(Listener::End::kDeaf);
  }
  stream.reset();
  std::lock_guard lock(mutex_);
  feed->running = false;
  idle_.notify_all();
}

Task<Status> Changes::follow(Feed* feed) {
  storage::v1::ListRecordsRequest first;
  first.set_collection(feed->collection);
  first.set_limit(1);
  first.set_keys_only(true);
  Result<storage::v1::ListRecordsResponse> page = co_await store_->list(first);
  if (!page.ok()) co_return page.status();
  storage::v1::WatchRecordsRequest request;
  request.set_collection(feed->collection);
  request.set_after(page->revision());
  CallOptions options;
  auto stream = std::make_shared<Feed::Stream>(watch_, options, &request);
  {
    std::lock_guard lock(mutex_);
    if (stopping_) co_return Status(IMCTL_CANCELLED, "the module stops");
    feed->stream = stream;
    feed->hears = true;
    feed->revision = page->revision();
    feed->problem.clear();
    feed->pause = kFirstPause;
  }
  for (;;) {
    std::optional<storage::v1::Change> news = co_await stream->read();
    if (!news) break;
    {
      std::lock_guard lock(mutex_);
      feed->revision = news->revision();
    }
    Change change;
    if (feed->users) {
      change.set_user(news->record().key());
    } else if (news->deleted()) {
      change.set_credential(news->record().key());
    } else {
      continue;  // a token is made and later removed, and never another
    }
    tell(change);
  }
  Result<Buffer> end = co_await stream->finish();
  co_return end.ok() ? Status(IMCTL_UNAVAILABLE, "the storage ended the watch") : end.status();
}

void Changes::tell(const Change& change) {
  std::vector<std::shared_ptr<Listener>> told;
  {
    std::lock_guard lock(mutex_);
    told.assign(listeners_.begin(), listeners_.end());
  }
  for (const auto& listener : told) listener->tell(change);
}

void Changes::end_all(Listener::End why) {
  std::vector<std::shared_ptr<Listener>> told;
  {
    std::lock_guard lock(mutex_);
    told.assign(listeners_.begin(), listeners_.end());
    listeners_.clear();
  }
  for (const auto& listener : told) listener->end(why);
}

void Changes::quiesce() {
  std::vector<std::shared_ptr<Feed::Stream>> open;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& feed : feeds_) {
      if (feed->stream) open.push_back(feed->stream);
    }
  }
  end_all(Listener::End::kMoving);
  for (const auto& stream : open) stream->cancel();
}

void Changes::wait() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] {
    return std::none_of(feeds_.begin(), feeds_.end(),
                        [](const auto& feed) { return feed->running; });
  });
}

std::shared_ptr<Changes::Listener> Changes::listen() {
  std::lock_guard lock(mutex_);
  if (stopping_ ||
      !std::all_of(feeds_.begin(), feeds_.end(), [](const auto& feed) { return feed->hears; })) {
    return nullptr;
  }
  return *listeners_.insert(std::make_shared<Listener>()).first;
}

void Changes::leave(const std::shared_ptr<Listener>& listener) {
  std::lock_guard lock(mutex_);
  listeners_.erase(listener);
}

bool Changes::hears() const {
  std::lock_guard lock(mutex_);
  return std::all_of(feeds_.begin(), feeds_.end(), [](const auto& feed) { return feed->hears; });
}

size_t Changes::listeners() const {
  std::lock_guard lock(mutex_);
  return listeners_.size();
}

std::string Changes::state() const {
  std::lock_guard lock(mutex_);
  std::string text;
  for (const auto& feed : feeds_) {
    if (!text.empty()) text += "; ";
    text += feed->collection;
    text += feed->hears ? ": up to revision " + std::to_string(feed->revision)
                        : ": not heard of: " + feed->problem;
  }
  return text;
}

}  // namespace imctl::user
