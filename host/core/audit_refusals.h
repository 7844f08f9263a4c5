// Refusals on their way to the audit log. A stranger may be refused as often as they like and make
// up a new name each time: neither what is kept here nor what is written grows with that.
#ifndef IMCTL_HOST_CORE_AUDIT_REFUSALS_H
#define IMCTL_HOST_CORE_AUDIT_REFUSALS_H

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/audit_record.h"

namespace imctl::host {

// Two are the same if they are of the same user, from the same address but for its port, of the
// same method and with the same code. The first is written at once; those that follow are counted,
// and a minute later the last of them is written with the count. Of more than kDistinct different
// ones at a time the others are only counted, together. So in a minute there are at most 2 *
// kDistinct + 1 records.
//
// One thread at a time. Times are nanoseconds of any clock that does not go back.
class AuditRefusals {
 public:
  static constexpr size_t kDistinct = 32;
  static constexpr int64_t kPeriod = int64_t{60} * 1'000'000'000;

  // What is to be written now, if anything.
  std::optional<AuditRecord> add(AuditRecord refusal, int64_t now);
  // What is to be written by now.
  std::vector<AuditRecord> due(int64_t now);
  // When there is something due; INT64_MAX: nothing waits.
  int64_t next() const;
  // All that was counted and not written; nothing is kept.
  std::vector<AuditRecord> take();

 private:
  struct Same {
    int64_t until = 0;
    uint64_t count = 0;  // since it was written
    AuditRecord last;
  };
  static AuditRecord counted(const Same& same);

  std::map<std::string, Same, std::less<>> known_;
  Same others_;
};

// "ipv4:127.0.0.1:4711" without the port.
std::string_view without_port(std::string_view peer);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_AUDIT_REFUSALS_H
