// What the tests of the machines share: taking actions apart.
#ifndef IMCTL_ROUTER_CORE_TEST_KIT_H
#define IMCTL_ROUTER_CORE_TEST_KIT_H

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "node.h"
#include "service.h"

namespace imctl::router {

inline Payload text(std::string content) {
  return std::make_shared<const std::string>(std::move(content));
}

// The actions of one kind, in order.
template <typename Kind, typename Action>
std::vector<Kind> all_of(const std::vector<Action>& actions) {
  std::vector<Kind> found;
  for (const Action& action : actions) {
    if (const auto* kind = std::get_if<Kind>(&action)) found.push_back(*kind);
  }
  return found;
}

// The frames of one kind that were sent on a link (0: on any).
template <typename Kind, typename Action>
std::vector<Kind> frames_of(const std::vector<Action>& actions, LinkId link = 0) {
  std::vector<Kind> found;
  for (const SendFrame& sent : all_of<SendFrame>(actions)) {
    if (link != 0 && sent.link != link) continue;
    if (const auto* kind = std::get_if<Kind>(&sent.frame)) found.push_back(*kind);
  }
  return found;
}

inline NodeActions take(NodeMachine& machine) {
  NodeActions actions;
  machine.take(actions);
  return actions;
}

inline ServiceActions take(ServiceMachine& machine) {
  ServiceActions actions;
  machine.take(actions);
  return actions;
}

// A page with messages first … last of a mailbox that goes from `begin` to `end`.
inline Page page_of(uint64_t epoch, uint64_t begin, uint64_t end, uint64_t first, uint64_t last) {
  Page page;
  page.epoch = epoch;
  page.first = begin;
  page.last = end;
  for (uint64_t i = first; i <= last; ++i)
    page.entries.push_back({i, 0, text("m" + std::to_string(i))});
  return page;
}

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_TEST_KIT_H
