#include "core/audit_refusals.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace imctl::host {
namespace {

constexpr size_t kKeyPart = 256;

std::string key_of(const AuditRecord& refusal) {
  std::string key;
  for (std::string_view part : {std::string_view(refusal.user), without_port(refusal.from),
                                std::string_view(refusal.method), std::string_view(refusal.code)}) {
    key.append(part.substr(0, kKeyPart)).push_back('\0');
  }
  return key;
}

}  // namespace

std::string_view without_port(std::string_view peer) {
  if (!peer.starts_with("ipv4:") && !peer.starts_with("ipv6:")) return peer;
  return peer.substr(0, peer.rfind(':'));
}

AuditRecord AuditRefusals::counted(const Same& same) {
  AuditRecord record = same.last;
  record.count = same.count;
  return record;
}

std::optional<AuditRecord> AuditRefusals::add(AuditRecord refusal, int64_t now) {
  std::string key = key_of(refusal);
  auto at = known_.find(key);
  if (at == known_.end() && known_.size() >= kDistinct) {
    // Places whose time is over and that wait for due() are nobody's.
    std::erase_if(known_, [now](const auto& entry) {
      return entry.second.until <= now && entry.second.count == 0;
    });
  }
  if (at == known_.end() && known_.size() >= kDistinct) {
    if (others_.count++ == 0) others_.until = now + kPeriod;
    others_.last.time = refusal.time;
    return std::nullopt;
  }
  if (at == known_.end()) {
    known_[std::move(key)].until = now + kPeriod;
    return refusal;
  }
  Same& same = at->second;
  if (same.until <= now && same.count == 0) {
    same.until = now + kPeriod;
    return refusal;
  }
  ++same.count;
  same.last = std::move(refusal);
  return std::nullopt;
}

std::vector<AuditRecord> AuditRefusals::due(int64_t now) {
  std::vector<AuditRecord> records;
  for (auto at = known_.begin(); at != known_.end();) {
    Same& same = at->second;
    if (same.until > now) {
      ++at;
    } else if (same.count == 0) {
      at = known_.erase(at);
    } else {
      records.push_back(counted(same));
      same.count = 0;
      same.until = now + kPeriod;
      ++at;
    }
  }
  if (others_.count > 0 && others_.until <= now) {
    AuditRecord others = counted(others_);
    others.kind = AuditRecord::kOthers;
    others.message = "more different refusals within a minute than are told apart";
    records.push_back(std::move(others));
    others_ = {};
  }
  return records;
}

int64_t AuditRefusals::next() const {
  int64_t next = others_.count > 0 ? others_.until : INT64_MAX;
  for (const auto& [key, same] : known_) {
    if (same.count > 0) next = std::min(next, same.until);
  }
  return next;
}

std::vector<AuditRecord> AuditRefusals::take() {
  for (auto& [key, same] : known_) same.until = 0;
  others_.until = 0;
  std::vector<AuditRecord> records = due(0);
  known_.clear();
  return records;
}

}  // namespace imctl::host
