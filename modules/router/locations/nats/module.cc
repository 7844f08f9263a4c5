// Locations in this process, kept the same in all of a cluster by messages over NATS.
#include <atomic>
#include <chrono>
#include <deque>
#include <optional>
#include <random>

#include "common/replica_module.h"
#include "common/ticker.h"
#include "nats/connection.h"
#include "nats/options.h"
#include "nats/wire.h"

namespace imctl::locations {
namespace {

constexpr Time kFirstPause = 100;
constexpr Time kLongestPause = 2000;
// A server that takes messages and gives none back is as good as away.
constexpr Time kPatience = 5000;

class NatsLocations : public ReplicaModule {
 public:
  explicit NatsLocations(const Host& host)
      : ReplicaModule(host),
        sent_(host.counter("imctl_locations_messages_sent_total", "Messages to other services")),
        received_(
            host.counter("imctl_locations_messages_received_total", "Messages of all services")),
        sent_bytes_(host.counter("imctl_locations_sent_bytes_total", "Their bytes")),
        received_bytes_(host.counter("imctl_locations_received_bytes_total", "Their bytes")),
        dropped_(host.counter("imctl_locations_messages_dropped_total",
                              "Messages that were not sent, as too many waited")),
        connected_(host.gauge("imctl_locations_connected", "1: the broker can be reached")) {}

  Status prepare(const Settings& settings) override {
    Result<NatsOptions> read = read_options(settings.as<cluster::nats::v1::Config>());
    if (!read.ok()) return read.status();
    options_ = std::move(*read);
    std::random_device random;
    Replica::Options replica;
    replica.instance = static_cast<uint64_t>(random()) << 32 | random();
    replica.seed = static_cast<uint64_t>(random()) << 32 | random();
    replica.incarnation =
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                  std::chrono::system_clock::now().time_since_epoch())
                                  .count());
    random_.seed(replica.seed);
    begin(replica, options_.name);
    return apply(settings);
  }

  Status apply(const Settings& settings) override {
    set_lease(milliseconds(settings.as<cluster::nats::v1::Config>().lease()));
    return {};
  }

  Status activate() override {
    next_try_ = 0;
    pause_ = kFirstPause;
    ticker_.start([this] { work(); });
    return {};
  }

  Status quiesce() override {
    ticker_.stop();
    // A service that leaves says so last.
    flush();
    if (connection_ != nullptr) connection_->flush();
    // The connection has calls into this module.
    disconnect();
    return {};
  }

  void report(State& state) override {
    ReplicaModule::report(state);
    std::lock_guard lock(outbox_mutex_);
    state.add("outbox_bytes", outbox_bytes_);
  }

 private:
  void send(Replica::Output output) override {
    {
      std::lock_guard lock(outbox_mutex_);
      for (const Message& message : output) {
        std::string bytes = encode(message);
        if (outbox_bytes_ + bytes.size() > options_.queue_bytes) {
          dropped_.add();
          continue;
        }
        outbox_bytes_ += bytes.size();
        outbox_.push_back(std::move(bytes));
      }
    }
    ticker_.wake();
  }

  // All that waits goes out together.
  void flush() {
    std::deque<std::string> waiting;
    {
      std::lock_guard lock(outbox_mutex_);
      waiting.swap(outbox_);
    }
    size_t bytes = 0;
    bool refused = connection_ == nullptr;
    for (const std::string& message : waiting) {
      bytes += message.size();
      if (refused) continue;
      Status sent = connection_->publish(message);
      if (!sent.ok()) {
        if (!connection_->lost()) host().warn("a message could not be sent: " + sent.message());
        refused = connection_->lost();
        continue;
      }
      sent_.add();
      sent_bytes_.add(static_cast<double>(message.size()));
    }
    std::lock_guard lock(outbox_mutex_);
    outbox_bytes_ -= bytes;
  }

  void receive(std::string_view bytes) {
    received_.add();
    received_bytes_.add(static_cast<double>(bytes.size()));
    std::optional<Message> message = decode(bytes);
    if (!message) return;  // somebody else's
    with_replica([&](Replica& replica, Time now, Replica::Output* out) {
      replica.receive(now, *message, out);
    });
  }

  void work() {
    if (connection_ != nullptr && connection_->lost()) {
      const std::string why = connection_->why();
      disconnect();
      tell("the connection to the NATS server at " + options_.name + " is lost (" + why + ")");
    }
    if (connection_ == nullptr && now_ms() >= next_try_) connect();
    tick();
    flush();
    listen();
  }

  void connect() {
    auto opened = Connection::open(options_, [this](std::string_view bytes) { receive(bytes); });
    if (!opened.ok()) {
      // Full jitter: all services lost it together.
      next_try_ = now_ms() + std::uniform_int_distribution<Time>(pause_ / 2, pause_)(random_);
      pause_ = std::min(2 * pause_, kLongestPause);
      tell(opened.status().message());
      return;
    }
    connection_ = std::move(*opened);
    since_ = now_ms();
    pause_ = kFirstPause;
    {
      // What waited is from before.
      std::lock_guard lock(outbox_mutex_);
      outbox_.clear();
      outbox_bytes_ = 0;
    }
    with_replica([](Replica& replica, Time now, Replica::Output* out) {
      replica.set_connected(now, true, out);
    });
  }

  void disconnect() {
    with_replica([](Replica& replica, Time now, Replica::Output* out) {
      replica.set_connected(now, false, out);
    });
    connection_.reset();
    connected_.set(0);
    next_try_ = now_ms() + std::uniform_int_distribution<Time>(0, pause_)(random_);
  }

  // Does what is sent come back?
  void listen() {
    if (connection_ == nullptr) return;
    const bool heard = with_replica(
        [](Replica& replica, Time now, Replica::Output* /*out*/) { return replica.heard(now); });
    if (heard) {
      tell("");
    } else if (now_ms() - since_ > kPatience) {
      tell("the NATS server at " + options_.name + " gives back nothing of what is sent to it on " +
           options_.subject + ": it hangs, or does not permit it");
    }
  }

  void tell(const std::string& why) {
    const bool healthy = why.empty();
    connected_.set(healthy ? 1 : 0);
    if (why == why_) return;
    why_ = why;
    host().set_health(healthy, why);
    // Once for each time that it is away; the health has the newest words.
    if (healthy) {
      host().info("locations are shared over the NATS server at " + options_.name);
    } else if (!warned_) {
      host().warn(why + ": users at other services are not known until it is back");
    }
    warned_ = !healthy;
  }

  NatsOptions options_;
  Metric sent_;
  Metric received_;
  Metric sent_bytes_;
  Metric received_bytes_;
  Metric dropped_;
  Metric connected_;
  std::mutex outbox_mutex_;
  std::deque<std::string> outbox_;  // guarded by outbox_mutex_
  size_t outbox_bytes_ = 0;         // guarded by outbox_mutex_
  // Of the ticker's thread, and of the lifecycle while that does not run.
  std::mt19937_64 random_;
  std::unique_ptr<Connection> connection_;
  Time next_try_ = 0;
  Time pause_ = kFirstPause;
  Time since_ = 0;
  std::optional<std::string> why_;  // as it was told
  bool warned_ = false;
  Ticker ticker_;
};

}  // namespace
}  // namespace imctl::locations

using imctl::locations::NatsLocations;
IMCTL_MODULE(NatsLocations)
