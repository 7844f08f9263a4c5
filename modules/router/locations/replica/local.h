// What services report to this instance: takes it in order, once, under a lease, and says what
// changed. Not for several threads at once.
#ifndef IMCTL_LOCATIONS_LOCAL_H
#define IMCTL_LOCATIONS_LOCAL_H

#include <map>
#include <string>
#include <vector>

#include "message.h"
#include "table.h"

namespace imctl::locations {

// As imctl.cluster.v1.Locations/Report has it.
struct Report {
  std::string service;
  uint64_t boot = 0;
  uint64_t number = 0;
  bool begin = false;
  bool end = false;
  bool leave = false;
  Change change;
  Time lease = 0;
};

enum class Verdict {
  kTaken,
  kReportAll,  // it has to begin anew; nothing was taken
  kOlder,      // a newer process of the service has reported
};

class Local {
 public:
  struct Service {
    Table::Origin* origin = nullptr;
    uint64_t taken = 0;    // number of the last Report
    uint64_t version = 0;  // number of the last Delta
    uint32_t mark = 0;     // of what was reported since the last `begin`
    bool open = false;     // its `end` has not come
    bool complete = false;
    bool changed = false;  // of those that look at it: began or became complete
  };
  // One that is gone, and what it was.
  struct Gone {
    std::string service;
    Epoch epoch;
  };

  // Deltas are of about `delta_bytes` at most.
  Local(Table* table, uint64_t incarnation, size_t delta_bytes)
      : table_(table), incarnation_(incarnation), delta_bytes_(delta_bytes) {}

  // Appends what changed to `deltas`, and whose locations are gone altogether to `gone`.
  Verdict report(Time now, const Report& report, std::vector<Delta>* deltas,
                 std::vector<Gone>* gone);
  // Those whose lease is over.
  void expire(Time now, std::vector<Gone>* gone);
  void drop(const std::string& service);
  // Epochs that are made from now on are later than this.
  void later_than(uint64_t incarnation) { incarnation_ = std::max(incarnation_, incarnation); }

  std::map<std::string, Service, std::less<>>& services() { return services_; }
  const std::map<std::string, Service, std::less<>>& services() const { return services_; }

 private:
  void take(Service* service, const Report& report, Change* changed);
  void split(Service* service, Change change, std::vector<Delta>* deltas) const;

  Table* const table_;
  uint64_t incarnation_;
  const size_t delta_bytes_;
  std::map<std::string, Service, std::less<>> services_;
};

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_LOCAL_H
