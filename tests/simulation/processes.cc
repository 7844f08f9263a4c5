// The thin shells around the machines: what router.so does with gRPC, done with models.
#include <algorithm>
#include <cmath>

#include "router/core/backoff.h"
#include "world.h"

namespace imctl::simulation {

using router::Frame;
using router::Push;

// ---- Process

Process::Process(World& world) : world_(world) {
  started_at_ = world.timeline.now();
  offset_ = 1000 + world.random_time(1000000);
  if (world.skewed) rate_ = 0.7 + static_cast<double>(world.random.below(700)) / 1000;
  offset_ -= static_cast<Time>(std::floor(static_cast<double>(world.timeline.now()) * rate_));
}

Time Process::clock() const {
  return offset_ +
         static_cast<Time>(std::floor(static_cast<double>(world_.timeline.now()) * rate_));
}

void Process::run(std::function<void()> event) {
  if (!alive_) return;
  if (paused_) {
    held_.push_back(std::move(event));
  } else {
    step(event);
  }
}

void Process::step(const std::function<void()>& event) {
  event();
  if (alive_) carry_out();
  if (alive_) arm();
}

void Process::arm() {
  const Time due = deadline();
  if (due == router::kNever) return;
  const Time wait = due - clock();
  Time at = world_.timeline.now();
  if (wait > 0) at += static_cast<Time>(std::ceil(static_cast<double>(wait) / rate_));
  if (armed_ <= at) return;
  armed_ = at;
  world_.timeline.at(at, [this, at] {
    if (armed_ != at) return;
    armed_ = router::kNever;
    run([this] {
      if (deadline() <= clock()) tick();
    });
  });
}

void Process::pause() {
  paused_ = true;
  paused_at_ = world_.timeline.now();
}

void Process::resume() {
  if (!paused_) return;
  paused_ = false;
  stood_ += world_.timeline.now() - paused_at_;
  // Either its timers or its sockets are looked at first.
  if (world_.random.one_in(2)) step([this] { tick(); });
  while (!held_.empty() && alive_ && !paused_) {
    const std::function<void()> event = std::move(held_.front());
    held_.pop_front();
    step(event);
  }
}

void Process::kill() {
  if (!alive_) return;
  alive_ = false;
  held_.clear();
  died();
}

// ---- NodeProcess

NodeProcess::NodeProcess(World& world, size_t index, uint64_t boot,
                         const router::NodeSettings& settings)
    : Process(world), index_(index), boot_(boot), machine_(settings, world.random.next()) {}

void NodeProcess::begin() {
  for (size_t i = 0; i < world_.services.size(); ++i) dial(i, 0);
}

void NodeProcess::dial(size_t service, uint32_t failures) {
  const Time pause = failures == 0 ? 1 : router::backoff(world_.random, failures, 200, 2000);
  world_.timeline.in(pause, [this, self = shared_from_this(), service, failures] {
    if (!alive()) return;
    const auto& other = world_.services[service];
    const size_t here = world_.node_place(index_);
    const size_t there = world_.service_place(service);
    if (paused() || other == nullptr || !other->alive() || world_.blocked(here, there) ||
        world_.blocked(there, here)) {
      return dial(service, failures + 1);
    }
    const LinkId id = ++world_.link_numbers;
    auto pipe = std::make_shared<Pipe>(
        world_.timeline, world_.random, world_.network, [&world = world_, here, there](int way) {
          return way == 0 ? world.blocked(here, there) : world.blocked(there, here);
        });
    world_.remember(pipe);
    links_[id] = {pipe, other, service, 0};
    other->accept(id, pipe, shared_from_this());
    run([this, id] { machine_.link_up(clock(), id); });
  });
}

void NodeProcess::frame_arrived(LinkId link, const Frame& frame) {
  machine_.frame(clock(), link, frame);
}

void NodeProcess::frame_taken(LinkId link, size_t size) {
  run([this, link, size] {
    const auto found = links_.find(link);
    if (found != links_.end()) found->second.outstanding -= size;
    machine_.link_written(clock(), link, size);
  });
}

void NodeProcess::link_ended(LinkId link) {
  const auto found = links_.find(link);
  if (found == links_.end() || !alive()) return;
  const size_t service = found->second.index;
  links_.erase(found);
  run([this, link] { machine_.link_down(clock(), link); });
  dial(service, 1);
}

void NodeProcess::cut_link(size_t service) {
  for (const auto& [id, link] : links_) {
    if (link.index != service) continue;
    link.pipe->break_off();
    const Time here = world_.random_time(3000);
    world_.timeline.in(here, [self = shared_from_this(), id = id] { self->link_ended(id); });
    if (const auto other = link.service.lock()) {
      world_.timeline.in(world_.random_time(3000), [other, id = id] { other->link_ended(id); });
    }
    return;
  }
}

void NodeProcess::flow() {
  for (const auto& [id, link] : std::map<LinkId, Link>(links_)) link.pipe->flow(0);
}

struct NodeShell {
  NodeProcess& node;
  World& world;

  const std::shared_ptr<Connection>* find(SessionId session) const {
    const auto found = node.connections_.find(session);
    return found == node.connections_.end() ? nullptr : &found->second;
  }

  void operator()(router::Append& action) const {
    world.store.append(action, [self = node.shared_from_this(),
                                ticket = action.ticket](const router::Stored& stored) {
      self->run([self, ticket, stored] { self->machine_.stored(self->clock(), ticket, stored); });
    });
  }
  void operator()(router::StartRead& action) const {
    world.store.read(
        action, [self = node.shared_from_this(), ticket = action.ticket](const router::Page& page) {
          self->run([self, ticket, page] { self->machine_.page(self->clock(), ticket, page); });
        });
  }
  void operator()(router::ListCursors& action) const {
    world.store.cursors(action, [self = node.shared_from_this(),
                                 ticket = action.ticket](const router::CursorPage& page) {
      self->run([self, ticket, page] { self->machine_.cursors(self->clock(), ticket, page); });
    });
  }
  void operator()(router::MoveCursor& action) const {
    world.store.ack(action, [self = node.shared_from_this(),
                             ticket = action.ticket](const router::Outcome& outcome) {
      self->run([self, ticket, outcome] { self->machine_.moved(self->clock(), ticket, outcome); });
    });
  }
  void operator()(router::DropCursor& action) const { world.store.drop(action); }

  void operator()(router::Opened& action) const {
    const auto* const connection = find(action.session);
    if (connection == nullptr) return;
    world.to_client(*connection, [c = *connection, action] {
      c->opened = true;
      c->epoch = action.epoch;
      c->last = action.sequence;
    });
  }
  void operator()(router::Deliver& action) const {
    const auto* const connection = find(action.session);
    if (connection == nullptr) return;
    Connection& c = **connection;
    c.queued += action.size;
    c.unacknowledged.emplace_back(action.sequence, action.size);
    c.unacknowledged_bytes += action.size;
    world.largest = std::max(world.largest, action.size);
    world.trace("  node ", node.index_, " delivers ", action.epoch, ":", action.sequence, " to ",
                c.device->user, "/", c.device->name);
    world.to_client(*connection, [this_world = &world, c = *connection, action] {
      this_world->delivered(c, action);
    });
  }
  void operator()(router::Reset& action) const {
    const auto* const connection = find(action.session);
    if (connection == nullptr) return;
    (*connection)->unacknowledged.clear();
    (*connection)->unacknowledged_bytes = 0;
    world.to_client(*connection, [this_world = &world, c = *connection, action] {
      this_world->was_reset(c, action);
    });
  }
  void operator()(router::Sent& action) const {
    for (const Position& position : action.positions) {
      const auto* const mailbox = world.store.find(position.mailbox);
      if (mailbox != nullptr && mailbox->epoch == position.epoch &&
          world.store.at(position.mailbox, position.epoch, position.sequence) == nullptr) {
        world.fail("a message was acknowledged that is not stored");
      }
    }
    const auto* const connection = find(action.session);
    if (connection == nullptr) return;
    world.to_client(*connection, [this_world = &world, c = *connection, action] {
      this_world->sent(*c->device, action);
    });
  }
  void operator()(router::Rejected& action) const {
    const auto* const connection = find(action.session);
    if (connection == nullptr) return;
    world.to_client(*connection, [this_world = &world, c = *connection, action] {
      this_world->timeline.in(200 + this_world->random_time(500), [this_world, c, action] {
        const std::string message = "m" + std::to_string(action.reference);
        if (!c->over && c->device->unanswered.count(message) != 0) {
          this_world->submit(*c->device, message);
        }
      });
    });
  }
  void operator()(router::PauseSends& action) const {
    if (const auto* const connection = find(action.session)) (*connection)->node_reads = false;
  }
  void operator()(router::ResumeSends& action) const {
    const auto* const connection = find(action.session);
    if (connection == nullptr) return;
    (*connection)->node_reads = true;
    world.timeline.in(0, [this_world = &world, c = *connection] { this_world->read_on(c); });
  }
  void operator()(router::Moving& action) const {
    const auto* const connection = find(action.session);
    if (connection == nullptr) return;
    world.to_client(*connection, [this_world = &world, c = *connection] {
      this_world->disconnect(c, 1);
      this_world->reconnect(*c->device, this_world->random_time(500));
    });
  }
  void operator()(router::Close& action) const {
    const auto* const connection = find(action.session);
    if (connection == nullptr) return;
    world.trace("  node ", node.index_, " closes ", (*connection)->device->user, "/",
                (*connection)->device->name, ": ", action.outcome.words);
    if (action.outcome.code == router::Code::kInvalidArgument) {
      world.fail("a node closed a session because of the client: " + action.outcome.words);
    }
    world.to_client(*connection, [this_world = &world, c = *connection] {
      if (c->over) return;
      c->over = true;
      if (c->device->connection == c) {
        c->device->connection = nullptr;
        this_world->reconnect(*c->device, 100 + this_world->random_time(1000));
      }
    });
    node.connections_.erase(action.session);
  }
  void operator()(router::SendFrame& action) const {
    const auto found = node.links_.find(action.link);
    if (found == node.links_.end()) return;
    ++world.summary.frames;
    Link& link = found->second;
    link.outstanding += action.size;
    world.trace("  node ", node.index_, " sends a ", router::name_of(action.frame), " to service ",
                link.index);
    if (std::holds_alternative<Push>(action.frame) &&
        link.outstanding > world.node_settings.max_link_queue + action.size) {
      world.fail("a node's queue to a service is longer than its bound");
    }
    const auto service = link.service.lock();
    if (service == nullptr) return;
    link.pipe->send(0, [self = node.shared_from_this(), service, action] {
      service->run([self, service, action] {
        service->frame_arrived(action.link, action.frame);
        self->run([self, action] { self->frame_taken(action.link, action.size); });
      });
    });
  }
  void operator()(router::DropLink& action) const {
    const auto found = node.links_.find(action.link);
    if (found == node.links_.end()) return;
    world.trace("  node ", node.index_, " drops its link to service ", found->second.index, ": ",
                action.outcome.words);
    const auto service = found->second.service.lock();
    const LinkId link = action.link;
    const std::shared_ptr<Pipe> pipe = found->second.pipe;
    // The other end sees that after what was sent, or never if the way is blocked.
    if (service != nullptr) {
      pipe->send(0, [service, pipe, link] {
        pipe->break_off();
        service->link_ended(link);
      });
    }
    node.link_ended(link);
  }
};

void NodeProcess::carry_out() {
  machine_.take(actions_);
  NodeShell shell{*this, world_};
  router::NodeActions now;
  now.swap(actions_);
  for (router::NodeAction& action : now) std::visit(shell, action);
  check_bounds();
}

void NodeProcess::check_bounds() {
  const router::NodeStats stats = machine_.stats();
  const router::NodeSettings& settings = world_.node_settings;
  if (stats.reads > settings.max_drains) world_.fail("a node reads more at a time than its bound");
  if (stats.ahead > settings.max_ahead_total) world_.fail("a node puts more aside than its bound");
  for (const auto& [id, c] : connections_) {
    if (c->queued > settings.max_queued && c->queued > world_.largest) {
      world_.fail("more waits for the transport than the bound");
    }
    if (c->unacknowledged_bytes > settings.window && c->unacknowledged.size() > 1) {
      world_.fail("more is on its way to a client than its window");
    }
  }
}

void NodeProcess::died() {
  world_.dead[{"n" + std::to_string(index_), boot_}] = world_.timeline.now();
  for (const auto& [id, link] : links_) {
    const auto other = link.service.lock();
    // Its end of the connection is closed by the machine that it ran on.
    if (other != nullptr) {
      const std::shared_ptr<Pipe> pipe = link.pipe;
      pipe->send(0, [other, pipe, id = id] {
        pipe->break_off();
        other->link_ended(id);
      });
    }
  }
  links_.clear();
  for (const auto& [id, connection] : connections_) {
    connection->pipe->break_off();
    if (connection->over) continue;
    world_.timeline.in(world_.random_time(2000), [&world = world_, c = connection] {
      if (c->over) return;
      c->over = true;
      if (c->device->connection == c) {
        c->device->connection = nullptr;
        world.reconnect(*c->device, world.random_time(1000));
      }
    });
  }
  connections_.clear();
}

void NodeProcess::accept(const std::shared_ptr<Connection>& connection) {
  connections_[connection->session] = connection;
}

// ---- ServiceProcess

ServiceProcess::ServiceProcess(World& world, size_t index, uint64_t boot,
                               const router::ServiceSettings& settings)
    : Process(world), index_(index), boot_(boot), machine_(settings, world.random.next()) {}

void ServiceProcess::begin() {
  if (world_.services.size() < 2) return;
  world_.directory.start("s" + std::to_string(index_), boot_);
  poll_directory();
}

void ServiceProcess::poll_directory() {
  if (!alive()) return;
  const std::string name = "s" + std::to_string(index_);
  if (!paused()) {
    world_.directory.tick(name);
    run([this, name] { machine_.locations(clock(), world_.directory.status(name)); });
  }
  world_.timeline.in(900 + world_.random_time(200),
                     [self = shared_from_this()] { self->poll_directory(); });
}

void ServiceProcess::accept(LinkId link, const std::shared_ptr<Pipe>& pipe,
                            const std::shared_ptr<NodeProcess>& node) {
  links_[link] = {pipe, node, 0};
  run([this, link] { machine_.link_up(clock(), link); });
}

void ServiceProcess::frame_arrived(LinkId link, const Frame& frame) {
  machine_.frame(clock(), link, frame);
}

void ServiceProcess::frame_taken(LinkId link, size_t size) {
  run([this, link, size] {
    const auto found = links_.find(link);
    if (found != links_.end()) found->second.outstanding -= size;
    machine_.link_written(clock(), link, size);
  });
}

void ServiceProcess::link_ended(LinkId link) {
  const auto found = links_.find(link);
  if (found == links_.end()) return;
  links_.erase(found);
  run([this, link] { machine_.link_down(clock(), link); });
}

void ServiceProcess::flow() {
  for (const auto& [id, end] : std::map<LinkId, End>(links_)) end.pipe->flow(1);
}

struct ServiceShell {
  ServiceProcess& service;
  World& world;

  void operator()(router::SendFrame& action) const {
    const auto found = service.links_.find(action.link);
    if (found == service.links_.end()) return;
    ++world.summary.frames;
    ServiceProcess::End& end = found->second;
    end.outstanding += action.size;
    world.trace("  service ", service.index_, " sends a ", router::name_of(action.frame));
    const auto node = end.node.lock();
    if (node == nullptr) return;
    if (const auto* push = std::get_if<Push>(&action.frame)) {
      if (end.outstanding > world.service_settings.max_link_queue + action.size) {
        world.fail("a service's queue to a node is longer than its bound");
      }
      if (push->from_node == push->to_node) world.fail("a push went back to where it came from");
      world.pushed(service.index_, *push);
    }
    end.pipe->send(1, [self = service.shared_from_this(), node, action] {
      node->run([self, node, action] {
        node->frame_arrived(action.link, action.frame);
        self->frame_taken(action.link, action.size);
      });
    });
  }
  void operator()(router::DropLink& action) const {
    const auto found = service.links_.find(action.link);
    if (found == service.links_.end()) return;
    world.trace("  service ", service.index_, " drops a link: ", action.outcome.words);
    const auto node = found->second.node.lock();
    const std::shared_ptr<Pipe> pipe = found->second.pipe;
    service.links_.erase(found);
    if (node == nullptr) return;
    pipe->send(1, [node, pipe, link = action.link] {
      pipe->break_off();
      node->link_ended(link);
    });
  }
  void operator()(router::Find& action) const {
    world.timeline.in(
        1 + world.random_time(5), [self = service.shared_from_this(), this_world = &world, action] {
          if (!self->alive()) return;
          const std::string name = "s" + std::to_string(self->index_);
          const router::Found found = this_world->directory.find(name, action.users);
          self->run(
              [self, action, found] { self->machine_.found(self->clock(), action.ticket, found); });
        });
  }
  void operator()(router::Report& action) const {
    world.timeline.in(
        1 + world.random_time(5), [self = service.shared_from_this(), this_world = &world, action] {
          if (!self->alive()) return;
          this_world->directory.report("s" + std::to_string(self->index_), action);
          self->run([self, action] { self->machine_.reported(self->clock(), action.ticket, {}); });
        });
  }
};

void ServiceProcess::carry_out() {
  machine_.take(actions_);
  ServiceShell shell{*this, world_};
  router::ServiceActions now;
  now.swap(actions_);
  for (router::ServiceAction& action : now) std::visit(shell, action);
}

void ServiceProcess::died() {
  world_.directory.stop("s" + std::to_string(index_));
  for (const auto& [id, end] : links_) {
    const auto node = end.node.lock();
    if (node == nullptr) continue;
    const std::shared_ptr<Pipe> pipe = end.pipe;
    pipe->send(1, [node, pipe, id = id] {
      pipe->break_off();
      node->link_ended(id);
    });
  }
  links_.clear();
}

}  // namespace imctl::simulation
