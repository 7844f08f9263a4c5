// What goes wrong, and how it is put right.
#include <algorithm>

#include "world.h"

namespace imctl::simulation {

void World::start_node(size_t index, Time after) {
  timeline.in(after, [this, index] {
    if (nodes[index] != nullptr && nodes[index]->alive() && !nodes[index]->paused()) return;
    router::NodeSettings settings = node_settings;
    settings.node = "n" + std::to_string(index);
    settings.boot = ++boots;
    if (nodes[index] != nullptr) zombies.push_back(nodes[index]);
    nodes[index] = std::make_shared<NodeProcess>(*this, index, settings.boot, settings);
    trace("node ", index, " starts with boot ", settings.boot);
    nodes[index]->begin();
  });
}

void World::start_service(size_t index, Time after) {
  timeline.in(after, [this, index] {
    if (services[index] != nullptr && services[index]->alive()) return;
    router::ServiceSettings settings = service_settings;
    settings.service = "s" + std::to_string(index);
    settings.boot = ++boots;
    if (services[index] != nullptr) over.push_back(services[index]);
    services[index] = std::make_shared<ServiceProcess>(*this, index, settings.boot, settings);
    trace("service ", index, " starts");
    services[index]->begin();
  });
}

void World::plan_fault() {
  timeline.in(200 + random_time(4000), [this] {
    if (healed) return;
    ++summary.faults;
    fault();
    plan_fault();
  });
}

void World::fault() {
  switch (random.below(3)) {
    case 0: return network_fault();
    case 1: return process_fault();
    default: return client_fault();
  }
}

void World::network_fault() {
  const Time length = 500 + random_time(20000);
  if (services.empty()) {
    store.slowest = 500;
    timeline.in(length, [this] { store.slowest = 10; });
    return;
  }
  const size_t node = random.below(nodes.size());
  const size_t service = random.below(services.size());
  const size_t a = node_place(node);
  const size_t b = service_place(service);
  switch (random.below(7)) {
    case 0:  // one pair, both ways
    case 1:  // or one way
    case 2: {
      const size_t kind = random.below(3);
      if (kind != 1) blocks_.insert({a, b});
      if (kind != 2) blocks_.insert({b, a});
      trace("no way between node ", node, " and service ", service, " (", kind, ") for ", length);
      timeline.in(length, [this, a, b] {
        blocks_.erase({a, b});
        blocks_.erase({b, a});
        flow_all();
      });
      return;
    }
    case 3:  // a node from all services
      trace("node ", node, " is cut off for ", length);
      for (size_t i = 0; i < services.size(); ++i) {
        blocks_.insert({a, service_place(i)});
        blocks_.insert({service_place(i), a});
      }
      timeline.in(length, [this, a] {
        for (size_t i = 0; i < services.size(); ++i) {
          blocks_.erase({a, service_place(i)});
          blocks_.erase({service_place(i), a});
        }
        flow_all();
      });
      return;
    case 4:
      if (nodes[node] == nullptr) return;
      trace("the link between node ", node, " and service ", service, " breaks");
      return nodes[node]->cut_link(service);
    case 5:
      trace("the broker is away for ", length);
      directory.away = true;
      timeline.in(length, [this] { directory.away = false; });
      return;
    default:
      directory.losing = 200;
      network = 500;
      timeline.in(length, [this] {
        directory.losing = 0;
        network = 20;
      });
  }
}

void World::process_fault() {
  const size_t index = random.below(nodes.size());
  const std::shared_ptr<NodeProcess> node = nodes[index];
  const Time length = 100 + random_time(25000);
  switch (random.below(8)) {
    case 0:
    case 1:
      if (node == nullptr || !node->alive()) return;
      // What a node stored while nobody heard it is found by the look now and then only.
      if (patient && !services.empty() && node->machine().stats().links == 0) return;
      trace("node ", index, " dies");
      node->kill();
      return start_node(index, 100 + random_time(random.one_in(3) ? 30000 : 5000));
    case 2:
      if (node == nullptr || !node->alive() || node->paused()) return;
      trace("node ", index, " stands still for ", length);
      node->pause();
      // Somebody may start another one meanwhile, and then this one speaks again.
      if (!services.empty() && random.one_in(3)) start_node(index, random_time(length));
      timeline.in(length, [node] { node->resume(); });
      return;
    case 3: {
      store.slowest = 10 + static_cast<Time>(random.below(1000));
      store.failing = static_cast<uint32_t>(random.below(500));
      store.losing = static_cast<uint32_t>(random.below(200));
      trace("the storage is bad for ", length);
      timeline.in(length, [this] {
        store.slowest = 10;
        store.failing = store.losing = 0;
      });
      return;
    }
    case 4: {
      if (node == nullptr || !node->alive() ||
          node->machine().stats().state != router::NodeState::kActive) {
        return;
      }
      trace("node ", index, " is drained");
      node->run([node] {
        node->machine().state(node->clock(), router::NodeState::kDraining, node->clock() + 3000);
      });
      timeline.in(9000, [this, node, index] {
        if (!node->alive() || node->paused() || node->stood() > 0 || healed) return;
        if (node->machine().stats().state == router::NodeState::kDraining &&
            node->machine().stats().sessions != 0) {
          fail("node " + std::to_string(index) + " is drained and has sessions");
        }
        node->run([node] { node->machine().state(node->clock(), router::NodeState::kActive, 0); });
      });
      return;
    }
    default: {
      if (services.empty()) return;
      const size_t which = random.below(services.size());
      const std::shared_ptr<ServiceProcess> service = services[which];
      if (service == nullptr || !service->alive()) return;
      if (random.one_in(2)) {
        trace("service ", which, " dies");
        service->kill();
        return start_service(which, 100 + random_time(10000));
      }
      if (service->paused()) return;
      trace("service ", which, " stands still for ", length);
      service->pause();
      directory.pause("s" + std::to_string(which), true);
      timeline.in(length, [this, service, which] {
        directory.pause("s" + std::to_string(which), false);
        service->resume();
      });
    }
  }
}

void World::client_fault() {
  Device& device = *devices[random.below(devices.size())];
  const auto connection = device.connection;
  switch (random.below(6)) {
    case 0:  // everybody at once
      trace("all clients of a node are cut");
      for (const auto& each : devices) {
        if (each->connection == nullptr || random.one_in(4)) continue;
        disconnect(each->connection, random_time(20000));
        reconnect(*each, random_time(300));
      }
      return;
    case 1: {
      if (connection == nullptr) return;
      trace("device ", device.user, "/", device.name, " takes nothing");
      connection->reading = false;
      timeline.in(random_time(20000), [connection] {
        connection->reading = true;
        while (connection->reading && !connection->unread.empty() && !connection->pipe->broken()) {
          const auto event = std::move(connection->unread.front());
          connection->unread.pop_front();
          event();
        }
      });
      return;
    }
    case 2: store.expire(device.user, 1 + random.below(20)); return;
    case 3:
      if (!random.one_in(3)) return;
      trace("the mailbox ", device.user, " is removed");
      return store.remove(device.user);
    default:  // elsewhere, before the old stream is seen to have ended
      if (connection == nullptr) return;
      disconnect(connection, random_time(20000));
      reconnect(device, random_time(1000));
  }
}

void World::flow_all() {
  for (const auto& node : nodes) {
    if (node != nullptr) node->flow();
  }
  for (const auto& node : zombies) node->flow();
  for (const auto& service : services) {
    if (service != nullptr) service->flow();
  }
}

void World::heal() {
  healed = true;
  trace("all is put right");
  blocks_.clear();
  directory.away = false;
  directory.losing = 0;
  network = 20;
  store.slowest = 10;
  store.failing = store.losing = 0;
  // Older starts come to hear that they are over.
  for (const auto& zombie : zombies) zombie->resume();
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i] != nullptr && nodes[i]->alive()) {
      nodes[i]->resume();
      const auto node = nodes[i];
      node->run([node] { node->machine().state(node->clock(), router::NodeState::kActive, 0); });
    }
    start_node(i, 0);
  }
  for (size_t i = 0; i < services.size(); ++i) {
    if (services[i] != nullptr && services[i]->alive()) {
      directory.pause("s" + std::to_string(i), false);
      services[i]->resume();
    }
    start_service(i, 0);
  }
  flow_all();
}

}  // namespace imctl::simulation
