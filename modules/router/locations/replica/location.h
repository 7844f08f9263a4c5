// Where sessions are, as plain data: what the table keeps and what messages carry.
#ifndef IMCTL_LOCATIONS_LOCATION_H
#define IMCTL_LOCATIONS_LOCATION_H

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace imctl::locations {

// Milliseconds of a clock that never goes back.
using Time = int64_t;

struct Key {
  std::string node;
  uint64_t boot = 0;
  uint64_t session = 0;
  bool operator==(const Key&) const = default;
};

struct Location {
  std::string user;
  std::string device;
  Key key;
  int64_t since = 0;  // milliseconds since 1970
  bool operator==(const Location&) const = default;
};

struct NodeBoot {
  std::string node;
  uint64_t boot = 0;  // this one and all before
  bool operator==(const NodeBoot&) const = default;
};

// Is applied in this order.
struct Change {
  std::vector<NodeBoot> gone;
  std::vector<Key> remove;
  std::vector<Location> add;
  bool empty() const { return gone.empty() && remove.empty() && add.empty(); }
};

// One life of what a service reports through one instance of a module: the later one is larger. The
// second part tells apart what one process of the service reported before and after it was lost.
struct Epoch {
  uint64_t boot = 0;
  uint64_t incarnation = 0;
  auto operator<=>(const Epoch&) const = default;
};

// About what it takes in a message.
inline size_t bytes_of(const Location& location) {
  constexpr size_t kNumbers = 40;
  return location.user.size() + location.device.size() + location.key.node.size() + kNumbers;
}
inline size_t bytes_of(const Key& key) {
  constexpr size_t kNumbers = 24;
  return key.node.size() + kNumbers;
}

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_LOCATION_H
