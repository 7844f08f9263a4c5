#include "core/audit_record.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <boost/property_tree/json_parser.hpp>
#include <boost/property_tree/ptree.hpp>
#include <charconv>
#include <exception>
#include <sstream>
#include <utility>

#include "core/json_text.h"
#include "core/sha256.h"
#include "core/utf8.h"

namespace imctl::host {
namespace {

using google::protobuf::util::TimeUtil;

constexpr std::string_view kHead = "{\"seq\":";
constexpr std::string_view kWhat = ",\"what\":";
constexpr std::string_view kPrev = ",\"prev\":\"";
constexpr std::string_view kSum = ",\"sum\":\"";
constexpr std::string_view kEnd = "\"}";
constexpr size_t kDigits = 64;
constexpr size_t kTail =
    kPrev.size() + kDigits + 1 + kSum.size() + kDigits + kEnd.size();  // from kPrev to the end
constexpr size_t kNameLimit = 256;
constexpr size_t kMessageLimit = 512;
constexpr size_t kWhatLimit = 16384;  // what makes it keeps far below

std::string cut(std::string_view text, size_t limit) {
  if (text.size() <= limit) return std::string(text);
  size_t kept = 0;
  while (kept < limit) {
    const size_t size = std::max<size_t>(utf8_sequence(text.substr(kept)), 1);
    if (kept + size > limit) break;
    kept += size;
  }
  return std::string(text.substr(0, kept)) + "\u2026";
}

void append(std::string* line, const char* name, std::string_view text, size_t limit) {
  if (text.empty()) return;
  line->append(",\"").append(name).append("\":");
  append_json_string(line, cut(text, limit));
}

bool is_digest(std::string_view text) {
  return text.size() == kDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string time_text(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch());
  return TimeUtil::ToString(TimeUtil::MicrosecondsToTimestamp(since.count()));
}

std::chrono::system_clock::time_point read_time(const std::string& text) {
  google::protobuf::Timestamp time;
  if (!TimeUtil::FromString(text, &time)) return {};
  return std::chrono::system_clock::time_point(
      std::chrono::microseconds(TimeUtil::TimestampToMicroseconds(time)));
}

}  // namespace

std::string to_line(const AuditRecord& record, std::string_view prev) {
  std::string line(kHead);
  line += std::to_string(record.sequence);
  append(&line, "time", time_text(record.time), kNameLimit);
  append(&line, "kind", record.kind, kNameLimit);
  append(&line, "user", record.user, kNameLimit);
  append(&line, "user_kind", record.user_kind, kNameLimit);
  append(&line, "from", record.from, kNameLimit);
  append(&line, "method", record.method, kNameLimit);
  append(&line, "code", record.code, kNameLimit);
  append(&line, "message", record.message, kMessageLimit);
  append(&line, "call", record.call_id, kNameLimit);
  if (record.count != 1) line += ",\"count\":" + std::to_string(record.count);
  if (!record.what.empty() && record.what.size() <= kWhatLimit) {
    line.append(kWhat).append(record.what);
  }
  line.append(kPrev).append(prev).append("\"");
  const std::string sum = sha256_hex(line);
  return line.append(kSum).append(sum).append(kEnd);
}

std::optional<AuditLink> read_link(std::string_view line) {
  if (line.size() < kHead.size() + kTail || line.size() > kMaxAuditLine) return std::nullopt;
  if (line.substr(0, kHead.size()) != kHead) return std::nullopt;
  AuditLink link;
  const char* number = line.data() + kHead.size();
  const auto [end, error] = std::from_chars(number, line.data() + line.size(), link.sequence);
  if (error != std::errc() || link.sequence == 0) return std::nullopt;
  const std::string_view tail = line.substr(line.size() - kTail);
  const std::string_view prev = tail.substr(kPrev.size(), kDigits);
  const size_t after = kPrev.size() + kDigits;  // its quote
  const std::string_view sum = tail.substr(after + 1 + kSum.size(), kDigits);
  if (tail.substr(0, kPrev.size()) != kPrev || tail[after] != '"' ||
      tail.substr(after + 1, kSum.size()) != kSum || tail.substr(kTail - kEnd.size()) != kEnd ||
      !is_digest(prev) || !is_digest(sum)) {
    return std::nullopt;
  }
  const size_t summed = line.size() - kTail + after + 1;
  if (sha256_hex(line.substr(0, summed)) != sum) return std::nullopt;
  link.prev = prev;
  link.hash = sha256_hex(line);
  return link;
}

Result<AuditRecord> read_record(std::string_view line) {
  const Status wrong(IMCTL_DATA_LOSS, "no record of the audit log");
  if (line.size() < kHead.size() + kTail || line.size() > kMaxAuditLine) return wrong;
  // A quote in a text has a backslash before it, so this is no part of one.
  std::string_view body = line.substr(0, line.size() - kTail);
  const size_t what = body.find(kWhat);
  AuditRecord record;
  if (what != std::string_view::npos) {
    record.what = body.substr(what + kWhat.size());
    body = body.substr(0, what);
  }
  try {
    std::istringstream text(std::string(body) + "}");
    boost::property_tree::ptree fields;
    boost::property_tree::read_json(text, fields);
    auto field = [&](const char* name) { return fields.get<std::string>(name, ""); };
    record.sequence = fields.get<uint64_t>("seq");
    record.time = read_time(field("time"));
    record.kind = field("kind");
    record.user = field("user");
    record.user_kind = field("user_kind");
    record.from = field("from");
    record.method = field("method");
    record.code = field("code");
    record.message = field("message");
    record.call_id = field("call");
    record.count = fields.get<uint64_t>("count", 1);
  } catch (const std::exception&) {
    return wrong;
  }
  return record;
}

}  // namespace imctl::host
