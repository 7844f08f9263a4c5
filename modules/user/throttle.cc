#include "throttle.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

namespace imctl::user {

std::chrono::milliseconds Throttle::delay(uint32_t failures, const Limits& limits) {
  if (failures < limits.free) return std::chrono::milliseconds(0);
  constexpr uint32_t kMostShifts = 24;
  const uint32_t shifts = std::min(failures - limits.free, kMostShifts);
  return std::min(std::chrono::milliseconds(int64_t{1000} << shifts), limits.most);
}

std::chrono::milliseconds Throttle::begin(const std::string& key, const Limits& limits,
                                          Clock::time_point now) {
  std::lock_guard lock(mutex_);
  // The oldest are in front.
  while (!order_.empty() && order_.front().last + 2 * limits.most < now) {
    entries_.erase(order_.front().key);
    order_.pop_front();
  }
  auto found = entries_.find(key);
  if (found == entries_.end()) {
    if (entries_.size() >= max_entries_) {
      entries_.erase(order_.front().key);
      order_.pop_front();
    }
    order_.push_back({key, 1, now});
    entries_.emplace(key, std::prev(order_.end()));
    return std::chrono::milliseconds(0);
  }
  Entry& entry = *found->second;
  const Clock::time_point open = entry.last + delay(entry.failures, limits);
  if (now < open) return std::chrono::ceil<std::chrono::milliseconds>(open - now);
  ++entry.failures;
  entry.last = now;
  order_.splice(order_.end(), order_, found->second);
  return std::chrono::milliseconds(0);
}

void Throttle::went_well(const std::string& key, bool forget) {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(key);
  if (found == entries_.end()) return;
  Entry& entry = *found->second;
  entry.failures = forget ? 0 : entry.failures - std::min(entry.failures, 1U);
  if (entry.failures > 0) return;
  order_.erase(found->second);
  entries_.erase(found);
}

std::string network_of(const std::string& peer) {
  constexpr size_t kNetwork = 8;  // bytes
  if (peer.rfind("ipv4:", 0) == 0) {
    const size_t colon = peer.rfind(':');
    return colon > 4 ? peer.substr(0, colon) : peer;
  }
  if (peer.rfind("ipv6:", 0) != 0) return {};
  // gRPC may write the brackets and the scope as in a URI.
  std::string text = peer.substr(5);
  for (const auto& [escaped, plain] :
       {std::pair<const char*, const char*>{"%5B", "["}, {"%5D", "]"}, {"%25", "%"}}) {
    if (size_t at = text.find(escaped); at != std::string::npos) text.replace(at, 3, plain);
  }
  const size_t open = text.find('[');
  const size_t close = text.find(']');
  if (open != std::string::npos && close != std::string::npos && close > open) {
    text = text.substr(open + 1, close - open - 1);
  }
  text = text.substr(0, text.find('%'));
  std::array<unsigned char, 16> address{};
  if (inet_pton(AF_INET6, text.c_str(), address.data()) != 1) return "ipv6:" + text;
  static constexpr std::array<unsigned char, 12> kMapped = {0, 0, 0, 0, 0,    0,
                                                            0, 0, 0, 0, 0xFF, 0xFF};
  if (std::equal(kMapped.begin(), kMapped.end(), address.begin())) {
    char ipv4[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, address.data() + kMapped.size(), ipv4, sizeof(ipv4));
    return std::string("ipv4:") + ipv4;
  }
  std::fill(address.begin() + kNetwork, address.end(), 0);
  char network[INET6_ADDRSTRLEN] = "";
  inet_ntop(AF_INET6, address.data(), network, sizeof(network));
  return std::string("ipv6:") + network;
}

}  // namespace imctl::user
