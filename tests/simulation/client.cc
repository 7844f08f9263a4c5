// Clients: as a real one, they keep what they have seen by epoch and number, acknowledge what they
// took, send again what was not answered, and connect elsewhere when their stream ends.
#include <algorithm>

#include "router/core/backoff.h"
#include "world.h"

namespace imctl::simulation {

void World::make_devices() {
  const size_t count = 3 + random.below(8);
  for (size_t i = 0; i < count; ++i) {
    users.push_back("u" + std::to_string(i) + "@x");
    const size_t of_user = 1 + random.below(2);
    for (size_t j = 0; j < of_user; ++j) {
      auto device = std::make_unique<Device>();
      device->number = devices.size();
      device->user = users.back();
      device->name = "d" + std::to_string(j);
      devices.push_back(std::move(device));
    }
  }
  for (const auto& device : devices) reconnect(*device, random_time(calm ? 1000 : 5000));
}

void World::reconnect(Device& device, Time after) {
  if (device.connecting) return;
  device.connecting = true;
  timeline.in(after, [this, &device] {
    device.connecting = false;
    if (device.connection == nullptr) connect(device);
  });
}

void World::connect(Device& device) {
  const size_t index = random.below(nodes.size());
  const std::shared_ptr<NodeProcess>& node = nodes[index];
  if (node == nullptr || !node->alive()) {
    return reconnect(device, router::backoff(random, ++device.failures, 200, 2000));
  }
  device.failures = 0;
  auto connection = std::make_shared<Connection>();
  connection->pipe = std::make_shared<Pipe>(timeline, random, network, [](int) { return false; });
  remember(connection->pipe);
  connections_.emplace_back(connection);
  connection->node = node;
  connection->device = &device;
  connection->session = ++session_numbers;
  router::Hello hello;
  hello.session = connection->session;
  hello.user = device.user;
  hello.device = device.name;
  if (device.epoch != 0 && !chance(250)) {
    hello.start = {router::Start::From::kAfter, device.epoch, device.last};
    uint64_t& acknowledged = device.acknowledged[device.epoch];
    acknowledged = std::max(acknowledged, device.last);
  }
  device.connection = connection;
  trace("device ", device.user, "/", device.name, " connects to node ", index, " after ",
        hello.start.epoch, ":", hello.start.sequence);
  to_node(connection, [connection, hello, node] {
    // Accepted by the machine that it runs on, whether the process runs or not.
    node->accept(connection);
    node->run([connection, hello, node] { node->machine().connect(node->clock(), hello); });
  });
  std::vector<std::string> again;
  for (const auto& [message, recipients] : device.unanswered) again.push_back(message);
  for (const std::string& message : again) submit(device, message);
}

// A node that died meanwhile is noticed as a connection that does not come about.
void World::to_node(const std::shared_ptr<Connection>& connection, std::function<void()> event) {
  connection->pipe->send(0, [this, connection, event = std::move(event)] {
    const auto node = connection->node.lock();
    if (node == nullptr || !node->alive()) {
      connection->pipe->break_off();
      if (connection->over) return;
      connection->over = true;
      if (connection->device->connection == connection) {
        connection->device->connection = nullptr;
        reconnect(*connection->device, random_time(1000));
      }
      return;
    }
    if (connection->node_reads && connection->sent.empty()) {
      event();
    } else {
      connection->sent.push_back(event);
    }
  });
}

void World::read_on(const std::shared_ptr<Connection>& connection) {
  while (connection->node_reads && !connection->sent.empty()) {
    const auto event = std::move(connection->sent.front());
    connection->sent.pop_front();
    event();
  }
}

void World::to_client(const std::shared_ptr<Connection>& connection, std::function<void()> event) {
  connection->pipe->send(1, [connection, event = std::move(event)] {
    if (connection->reading && connection->unread.empty()) {
      event();
    } else {
      connection->unread.push_back(event);
    }
  });
}

// The client ends the stream, or it breaks; the node sees that later.
void World::disconnect(std::shared_ptr<Connection> connection, Time node_sees) {
  if (connection->over) return;
  connection->over = true;
  connection->pipe->break_off();
  if (connection->device->connection == connection) connection->device->connection = nullptr;
  const auto node = connection->node.lock();
  if (node == nullptr) return;
  timeline.in(node_sees, [node, connection = std::move(connection)] {
    node->run([node, connection] {
      node->connections().erase(connection->session);
      node->machine().gone(node->clock(), connection->session);
    });
  });
}

void World::delivered(const std::shared_ptr<Connection>& connection,
                      const router::Deliver& deliver) {
  Connection& c = *connection;
  if (const auto node = c.node.lock()) {
    node->run([node, connection, size = deliver.size] {
      connection->queued -= std::min(connection->queued, size);
      node->machine().written(node->clock(), connection->session, size);
    });
  }
  if (c.over) return;
  Device& device = *c.device;
  const std::string where = device.user + "/" + device.name + " got " +
                            std::to_string(deliver.epoch) + ":" + std::to_string(deliver.sequence);
  if (!c.opened) fail(where + " before its session was opened");
  if (c.epoch == 0 && c.last == 0) c.epoch = deliver.epoch;
  if (deliver.epoch != c.epoch || deliver.sequence != c.last + 1) {
    fail(where + " after " + std::to_string(c.epoch) + ":" + std::to_string(c.last) +
         " on one connection");
  }
  c.last = deliver.sequence;
  const Payload stored = store.at(device.user, deliver.epoch, deliver.sequence);
  if (stored != nullptr && *stored != *deliver.payload) {
    fail(where + ", which is not what is stored there");
  }
  ++summary.delivered;
  // The user sees each once.
  if (deliver.epoch > device.epoch) {
    if (deliver.sequence != 1) fail(where + ", the first of an epoch, without a word");
    device.epoch = deliver.epoch;
    device.last = 0;
  }
  if (deliver.epoch == device.epoch && deliver.sequence > device.last) {
    if (deliver.sequence != device.last + 1) {
      fail(where + ", but the user saw up to " + std::to_string(device.last) + " only");
    }
    device.last = deliver.sequence;
  }
  acknowledge(connection);
}

void World::was_reset(const std::shared_ptr<Connection>& connection, const router::Reset& reset) {
  Connection& c = *connection;
  if (c.over) return;
  c.epoch = reset.epoch;
  c.last = reset.first - 1;
  Device& device = *c.device;
  if (reset.epoch < device.epoch || reset.epoch == 0) return;
  if (reset.epoch > device.epoch) {
    device.epoch = reset.epoch;
    device.last = 0;
  }
  const auto* const mailbox = store.find(device.user);
  if (reset.first > device.last + 1) {
    if (mailbox != nullptr && mailbox->epoch == reset.epoch && mailbox->first < reset.first) {
      fail(device.user + "/" + device.name + " was told that messages before " +
           std::to_string(reset.first) + " are gone, and they are not");
    }
    device.last = reset.first - 1;
  }
}

// After a while, and then all that came by then.
void World::acknowledge(const std::shared_ptr<Connection>& connection) {
  if (connection->ack_planned) return;
  connection->ack_planned = true;
  timeline.in(1 + random_time(calm ? 50 : 200), [this, connection] {
    connection->ack_planned = false;
    if (connection->over) return;
    const uint64_t epoch = connection->epoch;
    const uint64_t sequence = connection->last;
    uint64_t& acknowledged = connection->device->acknowledged[epoch];
    acknowledged = std::max(acknowledged, sequence);
    to_node(connection, [connection, epoch, sequence] {
      const auto node = connection->node.lock();
      if (node == nullptr) return;
      node->run([node, connection, epoch, sequence] {
        while (!connection->unacknowledged.empty() &&
               connection->unacknowledged.front().first <= sequence) {
          connection->unacknowledged_bytes -= connection->unacknowledged.front().second;
          connection->unacknowledged.pop_front();
        }
        node->machine().ack(node->clock(), connection->session, epoch, sequence);
      });
    });
  });
}

void World::say_something(Device& device) {
  // What is not answered yet bounds what a user says.
  if (device.unanswered.size() >= 20) return;
  const std::string message = "m" + std::to_string(++message_numbers_);
  std::vector<std::string> recipients;
  const size_t count = random.one_in(4) ? 1 + random.below(users.size()) : 1;
  for (size_t i = 0; i < count; ++i) {
    const std::string& user = users[random.below(users.size())];
    if (std::find(recipients.begin(), recipients.end(), user) == recipients.end()) {
      recipients.push_back(user);
    }
  }
  ++summary.messages;
  device.unanswered[message] = recipients;
  if (device.connection != nullptr) submit(device, message);
}

void World::submit(Device& device, const std::string& message) {
  const auto connection = device.connection;
  if (connection == nullptr) return;
  trace("device ", device.user, "/", device.name, " says ", message, " to ",
        device.unanswered[message].front(), " and ", device.unanswered[message].size() - 1,
        " more");
  to_node(connection, [this, connection, message, recipients = device.unanswered[message]] {
    const auto node = connection->node.lock();
    if (node == nullptr) return;
    node->run([this, node, connection, message, recipients] {
      node->machine().send(node->clock(), connection->session, std::stoull(message.substr(1)),
                           recipients, std::make_shared<const std::string>(message),
                           message.size() + random.below(50));
    });
  });
}

void World::sent(Device& device, const router::Sent& sent) {
  const std::string message = "m" + std::to_string(sent.reference);
  const auto waiting = device.unanswered.find(message);
  if (waiting == device.unanswered.end()) return;
  const auto* const positions = store.positions(message);
  if (positions == nullptr || positions->size() != waiting->second.size()) {
    fail("message " + message + " was acknowledged, and is not stored for all");
  }
  device.unanswered.erase(waiting);
}

}  // namespace imctl::simulation
