// Hears what other hosts committed, and is the first to know that the server is back.
#ifndef IMCTL_STORAGE_POSTGRESQL_LISTENER_H
#define IMCTL_STORAGE_POSTGRESQL_LISTENER_H

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "connection.h"
#include "server.h"
#include "watchers.h"

namespace imctl::storage {

// The channel of all hosts with these tables.
std::string channel_of(const std::string& schema);

class Listener {
 public:
  using Log = std::function<void(const std::string&)>;

  // `own` is the process at the server that the engine writes with: it is not heard. `loading` is
  // kept up to date. All must outlive it. The server's stop() must have been called before it is
  // destroyed.
  Listener(Server* server, Watchers* watchers, const std::atomic<int>* own,
           std::atomic<bool>* loading, Log warn, Log info);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void wake() const;

 private:
  void loop();
  void listen();
  void hear(std::string_view payload);
  void refresh();
  // Until the socket has something, the time is over, or wake().
  void wait(int socket, int timeout_ms) const;

  Server* const server_;
  Watchers* const watchers_;
  const std::atomic<int>* const own_;
  std::atomic<bool>* const loading_;
  const Log warn_;
  const Log info_;
  const int wake_;
  std::unique_ptr<Connection> connection_;
  bool lost_ = false;
  std::thread thread_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_LISTENER_H
