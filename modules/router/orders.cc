#include "orders.h"

#include <algorithm>
#include <set>
#include <utility>

namespace imctl::router {
namespace {

constexpr char kCollection[] = "nodes";
constexpr uint32_t kPage = 200;
constexpr Time kFirstPause = 100;
constexpr Time kLongestPause = 2000;

}  // namespace

Orders::Orders(const Host& host, Loop* loop, Changed changed)
    : loop_(loop),
      changed_(std::move(changed)),
      list_(host, "/imctl.storage.v1.Records/List"),
      watch_(host, "/imctl.storage.v1.Records/Watch"),
      put_(host, "/imctl.storage.v1.Records/Put"),
      delete_(host, "/imctl.storage.v1.Records/Delete") {}

CallOptions Orders::options() const {
  CallOptions options;
  options.timeout = timeout_;
  return options;
}

void Orders::begin() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = false;
    pause_ = kFirstPause;
  }
  start_following();
}

void Orders::quiesce() {
  std::shared_ptr<WatchStream> stream;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stream = stream_;
  }
  if (stream != nullptr) stream->cancel();
}

void Orders::wait() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return !following_; });
}

std::optional<internal::StoredNode> Orders::of(const std::string& node) const {
  std::lock_guard lock(mutex_);
  auto found = orders_.find(node);
  if (found == orders_.end()) return std::nullopt;
  return found->second;
}

std::map<std::string, internal::StoredNode> Orders::all() const {
  std::lock_guard lock(mutex_);
  return orders_;
}

bool Orders::hears() const {
  std::lock_guard lock(mutex_);
  return hears_;
}

Task<Status> Orders::put(internal::StoredNode order) {
  storage::v1::PutRecordRequest request;
  request.set_collection(kCollection);
  request.set_key(order.node());
  request.set_value(order.SerializeAsString());
  co_return (co_await put_(request, options())).status();
}

Task<Status> Orders::remove(std::string node) {
  storage::v1::DeleteRecordRequest request;
  request.set_collection(kCollection);
  request.set_key(node);
  co_return (co_await delete_(request, options())).status();
}

void Orders::apply(const storage::v1::Record& record, bool deleted) {
  {
    std::lock_guard lock(mutex_);
    internal::StoredNode order;
    if (deleted || !order.ParseFromString(record.value())) {
      orders_.erase(record.key());
    } else {
      orders_[record.key()] = std::move(order);
    }
  }
  changed_(record.key());
}

void Orders::start_following() {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    following_ = true;
  }
  follow();
}

imctl::detail::Detached Orders::follow() {
  const Status status = co_await run();
  (void)status;  // it is begun again, whatever it was
  Time pause = 0;
  {
    std::lock_guard lock(mutex_);
    stream_.reset();
    pause = std::exchange(hears_, false) ? kFirstPause : pause_;
    pause_ = std::min(2 * pause, kLongestPause);
  }
  loop_->post_at(Loop::now() + pause, [this](Time) { start_following(); });
  std::lock_guard lock(mutex_);
  following_ = false;
  idle_.notify_all();
}

Task<Status> Orders::run() {
  storage::v1::ListRecordsRequest request;
  request.set_collection(kCollection);
  request.set_limit(kPage);
  storage::v1::WatchRecordsRequest from;
  from.set_collection(kCollection);
  std::set<std::string> there;
  for (bool first = true;; first = false) {
    Result<storage::v1::ListRecordsResponse> page = co_await list_(request, options());
    if (!page.ok()) co_return page.status();
    if (first) from.set_after(page->revision());
    for (const storage::v1::Record& record : page->records()) {
      there.insert(record.key());
      apply(record, false);
    }
    if (page->next_page_token().empty()) break;
    request.set_page_token(page->next_page_token());
  }
  for (const auto& [node, order] : all()) {
    storage::v1::Record gone;
    gone.set_key(node);
    if (there.count(node) == 0) apply(gone, true);
  }
  auto stream = std::make_shared<WatchStream>(watch_, CallOptions(), &from);
  {
    std::lock_guard lock(mutex_);
    stream_ = stream;
    hears_ = true;
    if (stopping_) stream->cancel();
  }
  while (std::optional<storage::v1::Change> change = co_await stream->read()) {
    apply(change->record(), change->deleted());
  }
  co_return (co_await stream->finish()).status();
}

}  // namespace imctl::router
