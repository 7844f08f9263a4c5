#include "world.h"

#include <algorithm>
#include <cstdio>

namespace imctl::simulation {

World::World(const Options& options)
    : random(options.seed),
      store(timeline, random),
      directory(timeline, random),
      options_(options) {
  calm = random.one_in(6);
  patient = calm || random.one_in(2);
  skewed = !calm && random.one_in(3);

  const size_t service_count = random.below(4);
  nodes.resize(service_count == 0 ? 1 : 1 + random.below(4));
  services.resize(service_count);

  router::NodeSettings& node = node_settings;
  node.clustered = service_count > 0;
  node.window = random.one_in(2) ? 300 + random.below(2000) : 1 << 20;
  node.max_queued = random.one_in(2) ? 300 + random.below(2000) : 256 << 10;
  node.max_unanswered = random.one_in(2) ? 500 + random.below(2000) : 1 << 20;
  node.max_queued_total = random.one_in(3) ? 1000 + random.below(4000) : 64 << 20;
  node.max_unanswered_total = random.one_in(3) ? 1000 + random.below(4000) : 64 << 20;
  node.max_ahead = random.one_in(2) ? random.below(1000) : 64 << 10;
  node.max_ahead_total = random.one_in(2) ? random.below(3000) : 16 << 20;
  node.max_link_queue = !calm && random.one_in(3) ? 1000 + random.below(4000) : 8 << 20;
  node.max_push = random.one_in(4) ? random.below(5) : 64 << 10;
  node.max_drains = 1 + random.below(8);
  node.page = static_cast<uint32_t>(1 + random.below(20));
  store.page_limit = random.one_in(2) ? static_cast<uint32_t>(1 + random.below(10)) : 1000;
  node.resync_interval = patient ? 36000000 : 10000 + random_time(20000);
  node.register_spread = 200 + random_time(2000);
  node.resync_spread = 500 + random_time(3000);
  node.home_settle = 1000 + random_time(5000);
  node.retry_most = 4000;

  router::ServiceSettings& service = service_settings;
  service.lease = 3000 + random_time(9000);
  service.grace = 500 + random_time(service.lease);
  service.max_link_queue = !calm && random.one_in(3) ? 1000 + random.below(4000) : 8 << 20;
  service.max_waiting = !calm && random.one_in(3) ? 200 + random.below(2000) : 16 << 20;
  service.find_batch = 1 + random.below(20);
  service.report_batch = 1 + random.below(20);
  service.resync_pause = 500 + random_time(3000);

  // A cursor is what a device acknowledged, or less.
  store.on_move = [this](const router::MoveCursor& call) {
    for (const auto& device : devices) {
      if (device->user != call.mailbox || device->name != call.device) continue;
      const auto known = device->acknowledged.find(call.epoch);
      const uint64_t most = known == device->acknowledged.end() ? 0 : known->second;
      if (call.sequence > most) {
        fail("the cursor of " + call.mailbox + "/" + call.device + " moves to " +
             std::to_string(call.sequence) + ", acknowledged is " + std::to_string(most));
      }
    }
  };
}

World::~World() {
  for (const auto& each : nodes) {
    if (each != nullptr) each->let_go();
  }
  for (const auto& each : zombies) each->let_go();
  for (const auto& each : services) {
    if (each != nullptr) each->let_go();
  }
  for (const auto& each : over) each->let_go();
  for (const auto& each : connections_) {
    const auto connection = each.lock();
    if (connection == nullptr) continue;
    connection->unread.clear();
    connection->sent.clear();
  }
  for (const auto& each : pipes_) {
    if (const auto pipe = each.lock()) pipe->break_off();
  }
}

void World::fail(const std::string& words) const {
  throw Broken("after " + std::to_string(timeline.now()) + " ms: " + words);
}

void World::print(const std::string& line) const {
  std::printf("%8lld %s\n", static_cast<long long>(timeline.now()), line.c_str());
}

Summary World::run() {
  for (size_t i = 0; i < services.size(); ++i) start_service(i, calm ? 0 : random_time(1000));
  for (size_t i = 0; i < nodes.size(); ++i) start_node(i, calm ? 1 : random_time(2000));
  timeline.run_until(calm ? 100 : 2000);
  make_devices();
  watch();
  // Until services have found each other and know where everybody is, pushes may be missed; in a
  // calm world none is after that.
  const Time begin = calm ? 20000 : 3000;
  timeline.run_until(begin);
  const Time end = begin + (calm ? 10000 : options_.length);
  const size_t total = 20 + random.below(200);
  for (size_t i = 0; i < total; ++i) {
    timeline.at(begin + random_time(end - begin),
                [this] { say_something(*devices[random.below(devices.size())]); });
  }
  if (!calm) plan_fault();
  timeline.run_until(end);
  heal();
  // Long enough for everybody to have connected, registered and looked: what is still missing then
  // is lost.
  timeline.run_until(end + (calm ? 3000 : patient ? 60000 : 90000));
  if (options_.trace) tell_sessions();
  check_end();
  summary.events = timeline.events();
  return summary;
}

}  // namespace imctl::simulation
