// The module router in a host without gRPC: many clients at once, that come and go while the module
// and the storage are replaced. Here the sanitizers see the shell around the machines.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "core/module_admin.h"
#include "imctl/session/v1/sessions.pb.h"
#include "managed_host.h"

namespace imctl::host {
namespace {

namespace v1 = imctl::session::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kConfig[] =
    "[host]\nmodules = storage-sqlite, router, locations-memory\nmodule_path = " IMCTL_MODULES
    "\nswap_watch = 10ms\n[router]\nname = one\nresync_interval = 1s\n";

std::string serialized(const v1::ClientFrame& frame) { return frame.SerializeAsString(); }

v1::ClientFrame hello(const std::string& user, const std::string& device, v1::Place after) {
  v1::ClientFrame frame;
  frame.mutable_hello()->set_user(user);
  frame.mutable_hello()->set_device(device);
  if (after.sequence() != 0) *frame.mutable_hello()->mutable_after() = after;
  return frame;
}

v1::ClientFrame message(uint64_t reference, const std::string& id, const std::string& to) {
  v1::ClientFrame frame;
  v1::Send* send = frame.mutable_send();
  send->set_reference(reference);
  send->mutable_message()->mutable_event()->set_id(id);
  send->mutable_message()->mutable_event()->set_type("im");
  send->mutable_message()->mutable_event()->set_text_data(id);
  send->mutable_message()->add_to(to);
  return frame;
}

// A user's device: what it has, and what of its own is known to be stored.
struct Client {
  explicit Client(std::string name) : user(std::move(name)) {}

  // Connects, sends so many messages, reads until they are answered and `until` says that it is
  // enough. False: the stream broke before.
  bool run(Host& host, int sends, const std::vector<std::string>& others,
           const std::function<bool(Client&)>& until) {
    TestCall call(host, "/imctl.session.v1.Sessions/Connect", "", true);
    if (!call.write(serialized(hello(user, "phone", place))).value_or(false)) return false;
    for (int i = 0; i < sends; ++i) {
      const std::string id = user + std::to_string(++sent);
      const std::string& to = others[random() % others.size()];
      unanswered[static_cast<uint64_t>(sent)] = {id, to};
    }
    for (const auto& [reference, what] : unanswered) {
      const std::string frame = serialized(message(reference, what.first, what.second));
      if (!call.write(frame).value_or(false)) return false;
    }
    while (!unanswered.empty() || !until(*this)) {
      std::optional<std::string> bytes = call.read();
      v1::ServerFrame frame;
      if (!bytes || !frame.ParseFromString(*bytes)) return false;
      if (!take(call, frame)) return false;
    }
    call.writes_done();
    return true;
  }

  bool take(TestCall& call, const v1::ServerFrame& frame) {
    if (frame.has_sent()) {
      auto what = unanswered.find(frame.sent().reference());
      if (what != unanswered.end()) {
        stored.emplace(what->second.first, what->second.second);
        unanswered.erase(what);
      }
    } else if (frame.has_rejected()) {
      return false;  // sent again with the next stream
    } else if (frame.has_deliver()) {
      const auto& entry = frame.deliver();
      if (entry.epoch() == place.epoch() && entry.sequence() <= place.sequence()) return true;
      EXPECT_EQ(entry.sequence(), place.sequence() + 1) << user;
      place.set_epoch(entry.epoch());
      place.set_sequence(entry.sequence());
      EXPECT_TRUE(got.insert(entry.message().event().id()).second) << "twice";
      v1::ClientFrame ack;
      ack.mutable_ack()->set_epoch(place.epoch());
      ack.mutable_ack()->set_sequence(place.sequence());
      return call.write(serialized(ack)).value_or(false);
    }
    return true;
  }

  const std::string user;
  std::minstd_rand random{std::hash<std::string>()(user) | 1};
  v1::Place place;
  int sent = 0;
  std::map<uint64_t, std::pair<std::string, std::string>> unanswered;
  std::map<std::string, std::string> stored;  // by id: for whom
  std::set<std::string> got;
};

TEST(Router, ManyClientsWhileModulesAreReplaced) {
  ManagedHost managed(kConfig);
  ASSERT_TRUE(managed.status.ok()) << managed.status.message();
  Host& host = *managed.host;
  constexpr int kClients = 6;
  std::vector<std::string> names;
  for (int i = 0; i < kClients; ++i) names.push_back("u" + std::to_string(i) + "@x");
  std::vector<Client> clients(names.begin(), names.end());
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  threads.reserve(kClients + 1);
  for (Client& client : clients) {
    threads.emplace_back([&] {
      while (!stop) {
        if (client.run(host, 20, names, [](Client&) { return true; })) continue;
        std::this_thread::sleep_for(milliseconds(5));
      }
    });
  }
  // Those who only look.
  threads.emplace_back([&] {
    while (!stop) {
      for (const char* method : {"/imctl.cluster.v1.Cluster/Status", "/imctl.cluster.v1.Nodes/List",
                                 "/imctl.session.v1.Sessions/List"}) {
        (void)TestCall(host, method, "").wait();
      }
      (void)host.modules().report(*host.find_module("router"));
    }
  });
  for (int i = 0; i < 3; ++i) {
    for (const char* module : {"router", "storage-sqlite"}) {
      std::this_thread::sleep_for(milliseconds(300));
      auto changes = host.module_admin().reload(module, {"test"});
      EXPECT_TRUE(changes.ok()) << changes.status().message();
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();

  // Everybody gets what was stored for them.
  std::map<std::string, std::set<std::string>> wanted;
  size_t stored = 0;
  for (const Client& client : clients) {
    for (const auto& [id, to] : client.stored) wanted[to].insert(id);
    stored += client.stored.size();
  }
  EXPECT_GT(stored, 100U);
  const auto deadline = std::chrono::steady_clock::now() + seconds(60);
  for (Client& client : clients) {
    const std::set<std::string>& mine = wanted[client.user];
    auto has_all = [&](Client& self) {
      return std::includes(self.got.begin(), self.got.end(), mine.begin(), mine.end());
    };
    while (!has_all(client) && std::chrono::steady_clock::now() < deadline) {
      (void)client.run(host, 0, names, has_all);
    }
    EXPECT_TRUE(has_all(client)) << client.user;
  }
  EXPECT_TRUE(host.stop().ok());
}

}  // namespace
}  // namespace imctl::host
