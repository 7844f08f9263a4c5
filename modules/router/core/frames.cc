#include "frames.h"

#include <array>
#include <type_traits>

namespace imctl::router {
namespace {

// Tag and length of a field, numbers as varints.
constexpr size_t kField = 4;
constexpr size_t kNumber = 8;
constexpr size_t kFrame = 8;  // of the frame itself

size_t bytes_of(const std::vector<Target>& targets) {
  size_t sum = 0;
  for (const Target& target : targets) sum += target.mailbox.size() + kField + 3 * kNumber;
  return sum;
}

struct Bytes {
  size_t operator()(const Join& f) const {
    return f.node.size() + f.address.size() + f.version.size() + 2 * kNumber;
  }
  size_t operator()(const Joined& f) const { return f.service.size() + 3 * kNumber; }
  size_t operator()(const Renew&) const { return kNumber; }
  size_t operator()(const Sessions& f) const {
    size_t sum = f.removed.size() * kNumber + kField;
    for (const SessionEntry& entry : f.added) {
      sum += entry.user.size() + entry.device.size() + 2 * kField + 2 * kNumber;
    }
    return sum;
  }
  size_t operator()(const Registered&) const { return 0; }
  size_t operator()(const Push& f) const {
    return f.from_node.size() + f.to_node.size() + (f.payload ? f.payload->size() : 0) +
           3 * kField + kNumber + bytes_of(f.targets);
  }
  size_t operator()(const Nack& f) const {
    size_t sum = 0;
    for (const Nacked& nacked : f.users) sum += nacked.user.size() + kField + kNumber;
    return sum;
  }
  size_t operator()(const Lost&) const { return 0; }
  size_t operator()(const Leave&) const { return 0; }
  size_t operator()(const Members&) const { return kNumber; }
  size_t operator()(const Unsure& f) const { return kNumber + bytes_of(f.targets); }
  size_t operator()(const Superseded&) const { return kNumber; }
  size_t operator()(const Resync&) const { return 0; }
  size_t operator()(const CloseSession& f) const { return f.words.size() + 2 * kNumber; }
};

}  // namespace

size_t bytes_of(const Frame& frame) { return kFrame + std::visit(Bytes(), frame); }
size_t bytes_of(const Push& push) { return kFrame + Bytes()(push); }

const char* name_of(const Frame& frame) {
  static constexpr std::array<const char*, std::variant_size_v<Frame>> kNames = {
      "Join", "Joined", "Renew",   "Sessions", "Registered", "Push",         "Nack",
      "Lost", "Leave",  "Members", "Unsure",   "Resync",     "CloseSession", "Superseded"};
  return kNames.at(frame.index());
}

}  // namespace imctl::router
