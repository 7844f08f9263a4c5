// What instances tell each other. Every message goes to all of them, also to the one that sent it;
// each may get lost, come twice, late, or in another order.
#ifndef IMCTL_LOCATIONS_MESSAGE_H
#define IMCTL_LOCATIONS_MESSAGE_H

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "location.h"

namespace imctl::locations {

// The number-th change of what a service reported.
struct Delta {
  std::string service;
  Epoch epoch;
  uint64_t number = 0;
  Change change;
};

// What a service's locations are when so many changes are in.
struct Digest {
  std::string service;
  Epoch epoch;
  uint64_t number = 0;
  uint64_t count = 0;
  uint64_t hash = 0;
  // How long they hold; 0: the service is gone.
  Time lease = 0;
  // It has reported everything once.
  bool complete = false;
};

// Each second, of all services that report to the instance. Also the sign that messages get
// through.
struct Beat {
  uint64_t number = 0;  // grows
  std::vector<Digest> digests;
};

// Asks the one that has a service's locations.
struct Ask {
  std::string service;
  Epoch epoch;
  // The hashes of all buckets; else the content of these, or of all if none is named.
  bool sums = false;
  std::vector<uint16_t> buckets;
};

// The hash of each bucket after the number-th change.
struct Sums {
  std::string service;
  Epoch epoch;
  uint64_t number = 0;
  std::vector<uint64_t> hashes;
};

struct Bucket {
  uint16_t index = 0;
  std::vector<Location> locations;
};

// Some buckets after the number-th change.
struct Part {
  std::string service;
  Epoch epoch;
  uint64_t number = 0;
  std::vector<Bucket> buckets;
};

struct Message {
  uint64_t from = 0;  // instance
  std::variant<Beat, Delta, Ask, Sums, Part> body;
};

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_MESSAGE_H
