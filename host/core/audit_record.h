// A record of the audit log, and the line of JSON that it is in the file.
//
//   {"seq":7,"time":"...","kind":"call",...,"what":{...},"prev":"HASH","sum":"HASH"}
//
// `sum` is the SHA-256 of the line up to there: it tells a line that is whole from one that is not.
// `prev` is the SHA-256 of the whole line before, without its end: it ties the lines to a chain, in
// which none can be changed, left out or put in without all that follow being made anew.
#ifndef IMCTL_HOST_CORE_AUDIT_RECORD_H
#define IMCTL_HOST_CORE_AUDIT_RECORD_H

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "imctl/status.h"

namespace imctl::host {

struct AuditRecord {
  // What a record may be about.
  static constexpr const char* kCall = "call";        // that ended
  static constexpr const char* kRefusal = "refusal";  // of a caller, before the call began
  static constexpr const char* kOthers =
      "refusals";  // so many different ones that they are only counted
  static constexpr const char* kStart = "start";  // of the host
  static constexpr const char* kStop = "stop";
  static constexpr const char* kTorn = "torn";  // what a crash left at the end was put aside
  static constexpr const char* kLost = "lost";  // so many records could not be written

  uint64_t sequence = 0;
  std::chrono::system_clock::time_point time;
  std::string kind;
  std::string user;       // who, as far as it is known
  std::string user_kind;  // admin, user, node, module, none
  std::string from;       // "ipv4:127.0.0.1:4711", "unix:", "embedded"
  std::string method;     // "package.Service/Method"
  std::string what;       // the request, as a JSON object; or empty
  std::string code;       // "OK"
  std::string message;
  std::string call_id;
  uint64_t count = 1;  // how often, since the record before of the same
};

// What stands in the first line's `prev`.
inline const std::string kNoAuditLine(64, '0');

// The longest line there can be: texts are cut. What is longer is no line of ours.
constexpr size_t kMaxAuditLine = size_t{64} << 10;

// Without the line's end.
std::string to_line(const AuditRecord& record, std::string_view prev);

// A line's place in the chain; nothing if it is not whole.
struct AuditLink {
  uint64_t sequence = 0;
  std::string prev;
  std::string hash;  // the next one's prev
};
std::optional<AuditLink> read_link(std::string_view line);

// What a line says. It may be anything.
Result<AuditRecord> read_record(std::string_view line);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_AUDIT_RECORD_H
