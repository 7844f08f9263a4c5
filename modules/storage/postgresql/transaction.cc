#include "transaction.h"

namespace imctl::storage {
namespace {

// More at once, and it is cheaper to tell of everything.
constexpr size_t kMaxNotices = 100;
// PostgreSQL takes payloads of less than 8000 bytes.
constexpr size_t kMaxName = 3900;

// Payloads are text of the database's encoding; names are any bytes.
std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text.push_back(kDigits[byte >> 4U]);
    text.push_back(kDigits[byte & 15U]);
  }
  return text;
}

}  // namespace

int64_t Numbers::take(Connection* db, int64_t count) {
  if (left_ < count) {
    next_ = db->query("SELECT nextval('numbers')").number(0, 0);
    left_ = kNumbers;
  }
  int64_t first = next_;
  next_ += count;
  left_ -= count;
  return first;
}

void Notices::add(Watchers::Kind kind, std::string_view name) {
  all_ = all_ || name.size() > kMaxName;
  if (all_) return;
  payloads_.insert(std::string(1, static_cast<char>(kind)) + hex(name));
  if (payloads_.size() > kMaxNotices) all_ = true;
}

void Notices::queue(Connection* db, const std::string& channel) const {
  constexpr const char* kSql = "SELECT pg_notify($1::text, $2::text)";
  if (all_) {
    db->queue(kSql, Params::of(channel, kAll));
    return;
  }
  for (const std::string& payload : payloads_) db->queue(kSql, Params::of(channel, payload));
}

}  // namespace imctl::storage
