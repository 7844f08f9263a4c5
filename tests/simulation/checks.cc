// What must hold, meanwhile and in the end.
#include <algorithm>
#include <map>
#include <set>

#include "world.h"

namespace imctl::simulation {
namespace {

// Beyond a lease: clocks that are rounded, looks that are made once a second.
constexpr Time kSlack = 1500;

}  // namespace

void World::watch() {
  timeline.in(1000, [this] {
    check_ghosts();
    watch();
  });
}

// A start of a node that is over is forgotten after a lease, as long as that is on the service's
// clock.
void World::check_ghosts() {
  for (const auto& service : services) {
    if (service == nullptr || !service->alive() || service->paused()) continue;
    const Time lease =
        static_cast<Time>(static_cast<double>(service_settings.lease) / service->rate());
    for (const router::NodeInfo& node : service->machine().nodes(service->clock())) {
      const auto over = dead.find({node.node, node.boot});
      if (over == dead.end()) continue;
      const Time age = timeline.now() - std::max(over->second, service->started_at());
      if (age > lease + service->stood() + kSlack) {
        fail("a service believes in node " + node.node + " boot " + std::to_string(node.boot) +
             ", which has been dead for " + std::to_string(age) + " ms");
      }
    }
  }
}

// One frame for each message and node, as long as nothing makes it go twice.
void World::pushed(size_t service, const router::Push& push) {
  trace("  service ", service, " pushes to ", push.to_node, ": ", push.targets.front().mailbox, " ",
        push.targets.front().sequence, " and ", push.targets.size() - 1, " more");
  std::set<std::string> recipients;
  for (const router::Target& target : push.targets) {
    if (!recipients.insert(target.mailbox).second) fail("a push names a mailbox twice");
  }
  if (!calm || push.targets.empty() || timeline.now() < 20000) return;
  const router::Target& first = push.targets.front();
  const Payload message = store.at(first.mailbox, first.epoch, first.sequence);
  if (message == nullptr) fail("a push is of a message that is not stored");
  if (++pushes[{*message, push.to_node}] > 1) {
    fail("message " + *message + " went to node " + push.to_node + " twice");
  }
}

// For people who look for the reason.
void World::tell_sessions() const {
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i] == nullptr || !nodes[i]->alive()) continue;
    const router::NodeStats stats = nodes[i]->machine().stats();
    trace("node ", i, ": ", stats.sessions, " sessions, ", stats.links, " links, home ", stats.home,
          ", ", stats.reads, " reads, ", stats.pushes_in, " pushes in, ", stats.pushes_out,
          " out, ", stats.pushes_dropped, " dropped");
    nodes[i]->machine().sessions([&](const router::SessionInfo& each) {
      trace("  ", each.session, " ", each.user, "/", each.device, " at ", each.epoch, ":",
            each.delivered, ", known ", each.last, ", acknowledged ", each.acknowledged, ", bytes ",
            each.unacknowledged, " and ", each.queued);
    });
  }
  for (size_t i = 0; i < services.size(); ++i) {
    const router::ServiceStats stats = services[i]->machine().stats();
    trace("service ", i, ": ", stats.nodes, " nodes, ", stats.locations, " locations, ",
          stats.pushes_in, " pushes in, ", stats.pushes_out, " out, ", stats.offline, " offline, ",
          stats.unsure, " unsure, ", stats.nacks, " nacks, sure ", stats.sure ? "yes" : stats.why);
    for (const router::Location& each : services[i]->machine().sessions("", 0, 1000)) {
      trace("  ", each.node, " ", each.boot, " ", each.session, " ", each.user, "/", each.device);
    }
  }
}

void World::check_end() {
  for (const auto& device : devices) {
    const std::string who = device->user + "/" + device->name;
    if (device->connection == nullptr || !device->connection->opened) {
      fail(who + " is not connected in the end");
    }
    if (!device->unanswered.empty()) {
      fail(who + " has no answer for " + device->unanswered.begin()->first);
    }
    const auto* const mailbox = store.find(device->user);
    if (mailbox == nullptr) continue;
    if (device->epoch != mailbox->epoch || device->last != mailbox->last()) {
      if (mailbox->last() == 0 ||
          (mailbox->first > mailbox->last() && device->epoch < mailbox->epoch))
        continue;
      fail(who + " saw up to " + std::to_string(device->epoch) + ":" +
           std::to_string(device->last) + ", the mailbox goes to " +
           std::to_string(mailbox->epoch) + ":" + std::to_string(mailbox->last()) +
           ": lost, or forgotten");
    }
    const auto cursor = mailbox->cursors.find(device->name);
    const uint64_t stands = cursor == mailbox->cursors.end() ? 0 : cursor->second.sequence;
    if (stands != mailbox->last() && mailbox->last() >= mailbox->first) {
      fail("the cursor of " + who + " stands at " + std::to_string(stands) + ", acknowledged is " +
           std::to_string(device->last));
    }
  }
  check_registered();
  for (const auto& node : nodes) {
    const router::NodeStats stats = node->machine().stats();
    if (stats.unanswered != 0 || stats.appends != 0) fail("a node still waits for the storage");
    if (stats.ahead != 0) fail("a node still has messages put aside");
    if (stats.reads_waiting != 0 && stats.reads == 0) fail("a node forgot who waits for a read");
  }
}

// Each session is registered with exactly one service, and nothing else is.
void World::check_registered() {
  if (services.empty()) return;
  std::map<std::pair<std::string, SessionId>, uint32_t> known;
  for (const auto& service : services) {
    for (const router::Location& each : service->machine().sessions("", 0, 1000000)) {
      ++known[{each.node, each.session}];
    }
    if (service->machine().stats().waiting != 0) fail("a service still keeps pushes back");
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    nodes[i]->machine().sessions([&](const router::SessionInfo& session) {
      const auto found = known.find({"n" + std::to_string(i), session.session});
      if (found == known.end() || found->second != 1) {
        fail("the session of " + session.user + " on node " + std::to_string(i) +
             " is registered " + std::to_string(found == known.end() ? 0 : found->second) +
             " times");
      }
      known.erase(found);
    });
  }
  if (!known.empty()) fail("a service knows a session that is not there");
}

}  // namespace imctl::simulation
