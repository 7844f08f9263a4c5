// Orders: what operators want of nodes: cordoned, draining. They are records in the storage, which
// every host watches; so they hold whichever service is away, and after a restart.
#ifndef IMCTL_ROUTER_ORDERS_H
#define IMCTL_ROUTER_ORDERS_H

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "imctl/client.h"
#include "imctl/router/internal/wire.pb.h"
#include "imctl/storage/v1/records.pb.h"
#include "loop.h"

namespace imctl::router {

class Orders {
 public:
  // What is wanted of `node` changed, or is known for the first time. Any thread.
  using Changed = std::function<void(const std::string& node)>;

  Orders(const Host& host, Loop* loop, Changed changed);

  void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
  void begin();
  void quiesce();
  void wait();

  // Nothing: it is to be active.
  std::optional<internal::StoredNode> of(const std::string& node) const;
  std::map<std::string, internal::StoredNode> all() const;
  // They are known.
  bool hears() const;

  Task<Status> put(internal::StoredNode order);
  // NOT_FOUND: there is none.
  Task<Status> remove(std::string node);

 private:
  using WatchStream = ClientStream<storage::v1::WatchRecordsRequest, storage::v1::Change>;

  void start_following();
  imctl::detail::Detached follow();
  Task<Status> run();
  void apply(const storage::v1::Record& record, bool deleted);
  CallOptions options() const;

  Loop* const loop_;
  const Changed changed_;
  const Method<storage::v1::ListRecordsRequest, storage::v1::ListRecordsResponse> list_;
  const Method<storage::v1::WatchRecordsRequest, storage::v1::Change> watch_;
  const Method<storage::v1::PutRecordRequest, storage::v1::PutRecordResponse> put_;
  const Method<storage::v1::DeleteRecordRequest, storage::v1::DeleteRecordResponse> delete_;
  std::chrono::milliseconds timeout_{10000};
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  // Guarded by mutex_.
  std::map<std::string, internal::StoredNode> orders_;
  std::shared_ptr<WatchStream> stream_;
  bool hears_ = false;
  bool stopping_ = true;
  bool following_ = false;
  Time pause_ = 0;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_ORDERS_H
