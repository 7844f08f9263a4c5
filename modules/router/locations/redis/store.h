// What services report here, written to Redis and kept there; and what others wrote, looked up
// there.
//
// Reports are taken at once, into a table of this process, and follow into Redis in order. Whenever
// it is not known what is in Redis (connected anew, the lease was lost, a write failed) everything
// is written again under a new token. One thread calls work(); everything else is for any thread
// and does not wait.
#ifndef IMCTL_LOCATIONS_REDIS_STORE_H
#define IMCTL_LOCATIONS_REDIS_STORE_H

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "redis/connection.h"
#include "redis/scripts.h"
#include "replica/local.h"
#include "replica/replica.h"

namespace imctl::locations {

class Store {
 public:
  // Nothing: Redis cannot be asked.
  using Looked = std::function<void(const std::vector<Found>*)>;
  struct Page {
    Table::Filter filter;
    size_t limit = 0;
    std::string token;
  };
  using Listed = std::function<void(const std::vector<Found>*, const std::string& next_token)>;
  struct Standing {
    uint32_t peers = 0;
    bool sure = false;
  };
  struct Counts {
    uint64_t commands = 0;
    uint64_t rounds = 0;
    uint64_t rewrites = 0;
    size_t waiting = 0;
    size_t locations = 0;
  };

  explicit Store(RedisOptions options, uint64_t seed);

  Verdict report(const Report& report);
  void look(const std::string& except, const std::vector<std::string>& users, Looked looked);
  void list(Page page, Listed listed);

  Standing standing(const std::string& but) const;
  // Empty: it is sure.
  std::string doubt() const;
  std::vector<Replica::Known> known() const;
  Counts counts() const;

  // Connects if need be, lets time pass, and sends what waits. True: call again at once. To be
  // called each 100 ms and after the calls above.
  bool work();
  // Why Redis is of no use just now; empty: it is.
  std::string problem() const;
  // Sends what waits, if that can be, and ends it. Not beside work().
  void stop();

 private:
  enum class Kind { kWrite, kLease, kServices };
  struct Op {
    Kind kind = Kind::kWrite;
    Command command;
    std::string service;
    std::string token;
  };
  struct Lookup {
    Command command;
    Looked looked;
  };
  struct Listing {
    Page page;
    Listed listed;
  };
  // A service that reports here, as it is in Redis.
  struct Mine {
    std::string token;
    bool leased = false;  // the lease has this token
    size_t cursor = 0;    // buckets that were written since the token was taken
    size_t rolled = 0;    // and again, since then
    Time roll_start = 0;
    Time next_lease = 0;
  };
  // One that has a lease in Redis.
  struct Other {
    std::string token;
    uint64_t boot = 0;
    char state = kWriting;
    uint64_t count = 0;
    Time deadline = 0;
    bool missing = false;
  };

  // With the lock.
  void tick(Time now);
  void begin_anew(Mine* mine, const Table::Origin& origin);
  void write_bucket(const Mine& mine, const Table::Origin& origin, size_t bucket);
  void write(const Mine& mine, const std::string& service, const Location& location);
  void renew(Time now, const std::string& service, Mine* mine, const Local::Service& local);
  void goodbye(const std::string& service, const Mine& mine);
  void forget_queue();
  bool state(Time now, const std::string& but, std::string* why) const;
  void push(Kind kind, Command command, const std::string& service = {},
            const std::string& token = {});
  Command script(Script script, Command arguments) const;

  // Of the thread that works.
  bool connect(Time now);
  void lose(const std::string& why);
  Status round(std::vector<Op>* ops, std::vector<Lookup>* lookups);
  void take(const Op& op, const redisReply& reply);
  void take_services(const redisReply& reply);
  Status serve(const Listing& listing);

  const RedisOptions options_;
  std::mt19937_64 random_;  // of the thread that works
  std::unique_ptr<Connection> connection_;
  Time next_try_ = 0;
  Time pause_ = 0;

  mutable std::mutex mutex_;  // guards what follows
  Table table_;
  Local local_;
  std::vector<std::pair<std::string, Key>> removed_;  // while a report is taken: user and key
  std::map<std::string, Mine> mine_;
  std::map<std::string, Other> others_;
  std::unordered_map<std::string, std::pair<uint64_t, Time>> nodes_;  // boot, and when it was noted
  std::array<std::string, kScripts> digests_;
  std::deque<Op> ops_;
  std::vector<Lookup> lookups_;
  std::vector<Listing> listings_;
  bool connected_ = false;
  std::string problem_;
  Time settled_ = 0;
  Time polled_ = 0;
  Time next_poll_ = 0;
  Time write_again_ = 0;  // after a failure; 0: there was none
  uint64_t last_token_ = 0;
  Counts counts_;
};

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_REDIS_STORE_H
