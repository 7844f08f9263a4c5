// Keeps an eye on another host: is it there, are the services well that are bound to it, are they
// still what was described?
#ifndef IMCTL_HOST_GRPC_REMOTE_WATCH_H
#define IMCTL_HOST_GRPC_REMOTE_WATCH_H

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "grpc/remote_catalog.h"

namespace imctl::host {

// One thread from start() to stop(); what it finds is told on that thread.
class RemoteWatch {
 public:
  struct Events {
    // Can the services be used now, and why not. Told first once it is known, then at each change.
    std::function<void(bool serving, const std::string& reason)> on_health;
    // The host serves the services otherwise than is described: other methods, or methods where
    // none were known. Told again from time to time while it is so.
    std::function<void()> on_changed;
  };

  // Both stay until stop() has returned.
  RemoteWatch(std::shared_ptr<grpc::Channel> channel, const RemoteDescription& description,
              Events events)
      : channel_(std::move(channel)), description_(description), events_(std::move(events)) {}
  RemoteWatch(const RemoteWatch&) = delete;
  RemoteWatch& operator=(const RemoteWatch&) = delete;
  ~RemoteWatch() { stop(); }

  void start();
  // Joins. Also without start, and again.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  class Streams;

  void loop();
  // One try: until the host is gone. Gives why.
  std::string look();
  // Asks whether what is described still holds; the reason why it could not, or empty.
  std::string compare();
  // True: that was news.
  bool tell(bool serving, const std::string& reason);
  bool stopping();
  // False: stopping. Until `leave` the context is cancelled by stop().
  bool enter(grpc::ClientContext* context);
  void leave(grpc::ClientContext* context);

  const std::shared_ptr<grpc::Channel> channel_;
  const RemoteDescription& description_;
  const Events events_;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::set<grpc::ClientContext*> contexts_;
  std::thread thread_;

  // Of the thread.
  std::string digest_;    // of the catalog that was compared last
  std::string mismatch_;  // why that one does not do; empty: it does
  bool differs_ = false;
  std::optional<Clock::time_point> announced_;
  bool told_ = false;
  bool serving_ = false;
  std::string reason_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_REMOTE_WATCH_H
