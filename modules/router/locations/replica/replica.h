// One instance's copy of all locations of a cluster, kept up to date by messages that may get lost.
//
// Each service's locations have one writer, the instance it reports to. That one numbers every
// change and sends it to all (Delta), and each second says what there is when so many changes are
// in (Digest), which is the lease too. An instance that misses a number, or finds another hash,
// asks for the hashes of the buckets (Sums) and then for those buckets that differ (Part). Asking
// is jittered, and put off when another one asks; answers go to all, are bounded in bytes for each
// tick, and say to which number they belong, so they may be mixed with changes at will.
//
// A broker that was stopped may deliver what somebody sent who died since: messages that come just
// after a silence, which the own ones that come back tell, renew no lease.
//
// What is not known to be right is shown no longer than the lease that it was shown under when it
// was; then it is hidden until it is verified. So nothing that is gone is shown longer than its
// lease and two beats, whatever is lost.
//
// A state machine: no threads, no clock, no input or output. Events are calls with the time; what
// is to be sent is appended to `out`. It expects tick() about each 100 ms. Not for several threads
// at once.
#ifndef IMCTL_LOCATIONS_REPLICA_H
#define IMCTL_LOCATIONS_REPLICA_H

#include <map>
#include <random>
#include <string>
#include <vector>

#include "local.h"
#include "message.h"
#include "table.h"

namespace imctl::locations {

class Replica {
 public:
  struct Options {
    // Of this instance; no two have the same.
    uint64_t instance = 1;
    // Larger at each start of what has the same services: the wall clock will do.
    uint64_t incarnation = 1;
    uint64_t seed = 1;
    // There are no other instances: nothing is sent or waited for.
    bool alone = false;
    Time beat = 1000;
    // What is known of a service that is gone is kept that long, hidden, for it may be back
    // unchanged.
    Time forget = 300'000;
    // About the largest message, and the most that is answered in a tick.
    size_t message_bytes = 128 << 10;
    size_t burst = 1 << 20;
    size_t max_services = 1000;
  };
  using Output = std::vector<Message>;

  explicit Replica(const Options& options);

  Verdict report(Time now, const Report& report, Output* out);
  void receive(Time now, const Message& message, Output* out);
  void tick(Time now, Output* out);
  // Whether messages go out and come in at all, as far as can be seen from here.
  void set_connected(Time now, bool connected, Output* out);

  // Do messages of this instance come back?
  bool heard(Time now) const { return connected_ && !silent(now, kSilent); }

  const Table& table() const { return table_; }
  // Services but this one whose lease holds.
  size_t peers(Time now, std::string_view but) const;
  // Is what is not known of services but this one not there? Else `doubt` says why that is not
  // sure.
  bool sure(Time now, std::string_view but) const { return state(now, but, nullptr); }
  std::string doubt(Time now, std::string_view but) const;

  struct Known {
    std::string service;
    Epoch epoch;
    uint64_t locations = 0;
    Time lease_left = 0;
    bool in_sync = false;
    bool local = false;
  };
  std::vector<Known> known(Time now) const;

  struct Counts {
    uint64_t gaps = 0;      // changes that were missed
    uint64_t asks = 0;      // made
    uint64_t repaired = 0;  // buckets
    uint64_t served = 0;    // buckets
  };
  const Counts& counts() const { return counts_; }

 private:
  // A service that reports to another instance.
  struct Remote {
    Table::Origin* origin = nullptr;
    uint64_t number = 0;     // of the last change that was taken
    uint64_t run_start = 1;  // since this one none was missed
    uint64_t target = 0;     // there is one with this number
    Time behind_since = 0;
    uint64_t last_gone = 0;  // the last change that may have touched any bucket
    uint64_t newest_at = 0;  // the largest `at` of its buckets
    uint64_t beat = 0;
    bool complete = false;
    bool expired = true;   // its locations are hidden
    Time heard_until = 0;  // its lease, as it was heard
    // Its lease when it was last seen that nothing was missed.
    Time verified_until = 0;
    size_t unsynced = 0;
    bool need_sums = false;
    Time next_ask = 0;
    Time pause = 0;
  };
  // What a service here is asked for.
  struct Wanted {
    Epoch epoch;
    bool sums = false;
    Time next_sums = 0;
    size_t buckets = 0;
    std::vector<bool> bucket = std::vector<bool>(kBuckets);
  };
  // One whose end is told a few times.
  struct Farewell {
    Digest digest;
    int left;
  };

  Remote* remote(Time now, const std::string& service, Epoch epoch, bool alive);
  void drop(const std::string& service);
  void on(Time now, const Beat& beat);
  void on_digest(Time now, uint64_t beat, const Digest& digest);
  void compare(Time now, Remote* remote, const Digest& digest);
  void on(Time now, const Delta& delta);
  void on(Time now, const Sums& sums);
  void on(Time now, const Part& part);
  void on(Time now, const Ask& ask);
  void apply(Remote* remote, const Delta& delta);
  void gap(Time now, Remote* remote, uint64_t upto);
  static void desync(Remote* remote, Table::Origin::Bucket* bucket);
  static void sync(Remote* remote, Table::Origin::Bucket* bucket, uint64_t at);
  // Says the hash or content after the number-th change anything of this bucket?
  static bool fits(const Remote& remote, const Table::Origin::Bucket& bucket, uint64_t number);
  void expire(Time now);
  void ask(Time now, Output* out);
  void serve(Time now, Output* out);
  void beat(Time now, Output* out);
  void farewell(const std::vector<Local::Gone>& gone);
  void send(Message message, Output* out) const;
  bool state(Time now, std::string_view but, std::string* why) const;
  // For so many halves of a beat no message of this instance came back.
  bool silent(Time now, Time halves) const;
  // What comes now was not held up on its way.
  bool fresh(Time now) const;
  Time jitter(Time from, Time to);

  const Options options_;
  std::mt19937_64 random_;
  Table table_;
  Local local_;
  std::map<std::string, Remote, std::less<>> remotes_;
  std::map<std::string, Wanted, std::less<>> wanted_;
  std::vector<Farewell> farewells_;
  bool connected_ = false;
  uint64_t beats_ = 0;
  Time next_beat_ = 0;
  Time echo_ = kNever;
  Time fresh_from_ = 0;
  Time settled_ = 0;
  Time next_forget_ = 0;
  Counts counts_;

  // Halves of a beat without the own one: what comes then may be old; nothing comes at all.
  static constexpr Time kStale = 4;
  static constexpr Time kSilent = 7;
  static constexpr Time kNever = std::numeric_limits<Time>::min() / 2;
};

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_REPLICA_H
