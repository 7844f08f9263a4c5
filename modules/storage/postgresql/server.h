// The way to the server: who may try to connect now, and connections to read with.
//
// While the server is gone nobody waits for it: after a try that failed, connecting fails at once
// with the reason, until it is time for the next try. The times between them grow, with jitter.
// Once the listener (listener.h) runs, it is the one that tries while it has no connection itself.
#ifndef IMCTL_STORAGE_POSTGRESQL_SERVER_H
#define IMCTL_STORAGE_POSTGRESQL_SERVER_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "connection.h"

namespace imctl::storage {

// From any thread.
class Server {
 public:
  using Clock = std::chrono::steady_clock;

  Server(Target target, size_t readers);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  const Target& target() const { return target_; }
  // Connects, or throws Error at once if it is not the time to try.
  std::unique_ptr<Connection> connect();

  // A connection to read with, for as long as it lives.
  class Lease {
   public:
    Lease(Server* server, std::unique_ptr<Connection> connection)
        : server_(server), connection_(std::move(connection)) {}
    Lease(Lease&& other) = default;
    Lease& operator=(Lease&&) = delete;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease();
    Connection& operator*() const { return *connection_; }
    Connection* operator->() const { return connection_.get(); }

   private:
    Server* const server_;
    std::unique_ptr<Connection> connection_;
  };
  // Waits if all are in use.
  Lease read();

  // For the listener: tries whatever the others may. When it has none, the others may not.
  std::unique_ptr<Connection> connect_listener();
  void listener_lost();
  // How long to wait before the next try.
  std::chrono::milliseconds until_next_try();

  struct Load {
    size_t readers = 0, idle = 0;
    std::string gone;  // why the last try to connect failed; empty if it did not
  };
  Load load();

  // Ends whatever waits for a connection.
  void stop();
  const std::atomic<bool>& stopping() const { return stopping_; }

 private:
  std::unique_ptr<Connection> try_once();
  void give_back(std::unique_ptr<Connection> connection);

  const Target target_;
  const size_t max_readers_;
  std::atomic<bool> stopping_{false};

  std::mutex mutex_;
  // Guarded by mutex_:
  Clock::time_point next_try_;
  int failures_ = 0;  // in a row
  bool trying_ = false;
  bool listener_tries_ = false;
  std::string reason_;
  std::minstd_rand random_;
  std::condition_variable free_;
  std::vector<std::unique_ptr<Connection>> idle_;
  size_t readers_ = 0;  // that exist or are being made
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_SERVER_H
