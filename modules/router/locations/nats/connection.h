// One connection to a NATS server, until it is lost: nothing is buffered for a server that is away,
// and whoever wants another connection makes one.
#ifndef IMCTL_LOCATIONS_NATS_CONNECTION_H
#define IMCTL_LOCATIONS_NATS_CONNECTION_H

#include <nats/nats.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "imctl/status.h"
#include "nats/options.h"

namespace imctl::locations {

class Connection {
 public:
  using Receiver = std::function<void(std::string_view)>;

  // Connects and subscribes, within the options' time. `receiver` is called on a thread of its own
  // for each message, the ones that are published here too.
  static Result<std::unique_ptr<Connection>> open(const NatsOptions& options, Receiver receiver);
  // Returns when the receiver will not be called any more.
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // May wait for the server to take it, for two seconds at most.
  Status publish(std::string_view bytes);
  // Waits until the server has all that was published, for a second at most.
  void flush();
  bool lost() const;
  std::string why() const;
  // Messages that came faster than they were taken, and are lost.
  int64_t dropped() const;

 private:
  Connection() = default;
  void receive(const Receiver& receiver);

  std::string subject_;
  natsConnection* connection_ = nullptr;
  natsSubscription* subscription_ = nullptr;
  std::thread thread_;
};

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_NATS_CONNECTION_H
