#include "reporter.h"

#include <algorithm>
#include <utility>

namespace imctl::router {
namespace {

// Changes beyond this are told as a snapshot.
constexpr size_t kMaxTouched = 200000;
// The answer tells who else there is.
constexpr Time kLongestSilence = 1000;

Location location(const NodeRecord& node, SessionId session, const Registration& registration) {
  return {node.name,           node.boot,         session, *registration.user->name,
          registration.device, registration.since};
}

}  // namespace

void Reporter::changed(const NodeRecord& node, SessionId session, const std::string& user) {
  // A snapshot that has not begun will tell.
  if (!shared_ || (snapshot_ && !begun_)) return;
  if (touched_.size() >= kMaxTouched) return begin_snapshot();
  touched_.push_back({node.name, node.boot, session, user});
}

void Reporter::shared(Time now, bool shared) {
  if (shared == shared_) return;
  shared_ = shared;
  touched_.clear();
  told_ = 0;
  next_at_ = now;
  if (shared) begin_snapshot();
}

void Reporter::begin_snapshot() {
  snapshot_ = true;
  begun_ = false;
  node_.clear();
  ids_.clear();
  touched_.clear();
  told_ = 0;
}

void Reporter::reported(Time now, Ticket ticket, const Outcome& outcome) {
  if (ticket != outstanding_) return;
  outstanding_ = 0;
  if (outcome.ok()) {
    touched_.erase(touched_.begin(), touched_.begin() + static_cast<std::ptrdiff_t>(told_));
    told_ = 0;
    next_at_ = snapshot_ ? now : now + settings_.report_interval;
    return;
  }
  begin_snapshot();
  next_at_ = now + settings_.retry;
}

Time Reporter::next_deadline() const {
  if (!shared_ || outstanding_ != 0) return kNever;
  if (snapshot_ || !touched_.empty()) return next_at_;
  return std::max(next_at_, renewed_at_ + std::min(settings_.lease / 3, kLongestSilence));
}

void Reporter::tick(Time now) {
  if (next_deadline() > now) return;
  Report report;
  report.lease = settings_.lease;
  if (snapshot_) {
    send_snapshot(report);
  } else {
    send_changes(report);
  }
  renewed_at_ = now;
  outstanding_ = report.ticket = ++tickets_;
  out_.emplace_back(std::move(report));
}

void Reporter::send_changes(Report& report) {
  told_ = std::min(touched_.size(), settings_.report_batch);
  for (size_t i = 0; i < told_; ++i) {
    Touched& each = touched_[i];
    const auto node = table_->nodes().find(each.node);
    if (node != table_->nodes().end() && node->second.boot == each.boot) {
      const auto session = node->second.sessions.find(each.session);
      if (session != node->second.sessions.end()) {
        report.added.push_back(location(node->second, each.session, session->second));
        continue;
      }
    }
    report.removed.push_back({each.node, each.boot, each.session, each.user, {}, 0});
  }
}

// Goes through the nodes by name, and through the sessions that each has when its turn comes. What
// comes later is told as a change.
void Reporter::send_snapshot(Report& report) {
  report.first = !begun_;
  begun_ = true;
  const auto& nodes = table_->nodes();
  while (report.added.size() < settings_.report_batch) {
    if (ids_.empty()) {
      const auto next = nodes.upper_bound(node_);
      if (next == nodes.end()) {
        report.last = true;
        snapshot_ = begun_ = false;
        node_.clear();
        return;
      }
      node_ = next->first;
      for (const auto& [id, registration] : next->second.sessions) ids_.push_back(id);
      std::sort(ids_.begin(), ids_.end(), std::greater<>());
      continue;
    }
    const auto node = nodes.find(node_);
    if (node == nodes.end()) {
      ids_.clear();
      continue;
    }
    const auto session = node->second.sessions.find(ids_.back());
    ids_.pop_back();
    if (session != node->second.sessions.end()) {
      report.added.push_back(location(node->second, session->first, session->second));
    }
  }
}

}  // namespace imctl::router
