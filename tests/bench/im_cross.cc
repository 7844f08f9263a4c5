#include <sodium.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "im.h"
#include "im_chat.h"
#include "storage_host.h"
#include "stored_users.h"
#include "test_server.h"

namespace imctl::bench {
namespace {

constexpr size_t kUsers = 200;
constexpr std::chrono::milliseconds kRound{1500};
constexpr char kModules[] = "storage-postgresql,user,router";
constexpr char kKey[] = "0123456789abcdef0123456789abcdef";

std::string key_hash() {
  std::array<unsigned char, crypto_hash_sha256_BYTES> hash;
  crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(kKey), sizeof(kKey) - 1);
  std::array<char, 2 * crypto_hash_sha256_BYTES + 1> text;
  sodium_bin2hex(text.data(), text.size(), hash.data(), hash.size());
  return "sha256:" + std::string(text.data());
}

// Each with the same database.
std::vector<std::string> settings(const storage::TestServer& database,
                                  std::vector<std::string> more) {
  more.push_back("storage-postgresql.uri=" + database.uri());
  return more;
}

std::vector<std::string> node(const storage::TestServer& database, const std::string& name,
                              int service) {
  return settings(database, {"router.name=" + name, "router.roles=node", "bind.node=" + name,
                             std::string("bind.node_key=") + kKey,
                             "router.services=grpc://127.0.0.1:" + std::to_string(service)});
}

}  // namespace

void measure_im_cross(std::vector<Figure>* figures, int rounds) {
  if (sodium_init() < 0) throw std::runtime_error("libsodium does not start");
  storage::TestServer together, apart;
  StorageHost one(kModules, settings(together, {"router.name=one"}));
  StorageHost service(kModules,
                      settings(apart, {"router.name=service", "router.roles=cluster",
                                       "nodes.left=" + key_hash(), "nodes.right=" + key_hash()}));
  StorageHost left(kModules, node(apart, "left", service.port()));
  StorageHost right(kModules, node(apart, "right", service.port()));
  store_users(&one.caller(), kUsers);
  store_users(&service.caller(), kUsers);
  ImChat here(one.port(), one.port(), kUsers);
  ImChat there(left.port(), right.port(), kUsers);
  auto cpu_here = [&] { return one.cpu_seconds(); };
  auto cpu_there = [&] { return left.cpu_seconds() + right.cpu_seconds() + service.cpu_seconds(); };
  auto database_here = [&] { return cpu_seconds(together.pid()); };
  auto database_there = [&] { return cpu_seconds(apart.pid()); };
  (void)full_load(&here, kRound, cpu_here);
  (void)full_load(&there, kRound, cpu_there);
  struct Column {
    std::vector<double> ours, theirs, ratios;
    void add(double mine, double other) {
      ours.push_back(mine);
      theirs.push_back(other);
      ratios.push_back(mine / other);
    }
  } rate, a_cpu_second, with_database, p99;
  for (int i = 0; i < rounds; ++i) {
    ChatLoad near, far;
    double all_near = 0, all_far = 0;
    auto run = [&](Chat* chat, ChatLoad* load, double* all, const auto& cpu, const auto& database) {
      const double before = database();
      const double used = cpu();
      *load = full_load(chat, kRound, cpu);
      const double hosts = cpu() - used;
      *all = load->per_cpu_second * hosts / (hosts + database() - before);
    };
    auto run_near = [&] { run(&here, &near, &all_near, cpu_here, database_here); };
    auto run_far = [&] { run(&there, &far, &all_far, cpu_there, database_there); };
    if (i % 2 == 0) run_near();
    run_far();
    if (i % 2 != 0) run_near();
    rate.add(far.per_second, near.per_second);
    a_cpu_second.add(far.per_cpu_second, near.per_cpu_second);
    with_database.add(all_far, all_near);
    p99.add(far.p99_us, near.p99_us);
  }
  constexpr double kGoal = 0.6;
  const std::string name = "im, 2 nodes and a service, all cross";
  auto figure = [&](const std::string& what, const Column& column, const char* unit) {
    return Figure{name + what,           median(column.ours),   unit, "one node",
                  median(column.theirs), median(column.ratios), "",   std::nullopt};
  };
  figures->push_back(figure("", rate, "msg/s"));
  figures->push_back(with_goal(figure(", a CPU-second", a_cpu_second, "msg"), kGoal));
  figures->push_back(figure(", with PostgreSQL's", with_database, "msg"));
  figures->push_back(figure(", p99", p99, "us"));
}

}  // namespace imctl::bench
