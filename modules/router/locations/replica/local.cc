#include "local.h"

#include <utility>

namespace imctl::locations {

Verdict Local::report(Time now, const Report& report, std::vector<Delta>* deltas,
                      std::vector<Gone>* gone) {
  // What is over is over, also if nobody looked since.
  expire(now, gone);
  auto found = services_.find(report.service);
  if (found != services_.end()) {
    const Epoch epoch = found->second.origin->epoch;
    if (report.boot < epoch.boot) return Verdict::kOlder;
    if (report.boot > epoch.boot || report.leave) {
      gone->push_back({report.service, epoch});
      drop(report.service);
      found = services_.end();
    }
  }
  if (report.leave) return Verdict::kTaken;
  if (found == services_.end()) {
    if (!report.begin) return Verdict::kReportAll;
    Service made;
    made.origin = table_->make(report.service, {report.boot, ++incarnation_});
    made.changed = true;
    found = services_.emplace(report.service, made).first;
  }
  Service& service = found->second;
  const bool repeated = report.number <= service.taken;
  if (!repeated && !report.begin && report.number != service.taken + 1) {
    return Verdict::kReportAll;
  }
  service.origin->deadline = now + report.lease;
  if (repeated) return Verdict::kTaken;
  service.taken = report.number;
  Change changed;
  take(&service, report, &changed);
  split(&service, std::move(changed), deltas);
  return Verdict::kTaken;
}

void Local::take(Service* service, const Report& report, Change* changed) {
  Table::Origin* const origin = service->origin;
  if (report.begin) {
    ++service->mark;
    service->open = true;
  }
  for (const NodeBoot& node : report.change.gone) {
    if (table_->erase_node(origin, node) > 0) changed->gone.push_back(node);
  }
  for (const Key& key : report.change.remove) {
    if (table_->erase(origin, key)) changed->remove.push_back(key);
  }
  for (const Location& location : report.change.add) {
    if (table_->put(origin, location, service->mark)) changed->add.push_back(location);
  }
  if (!report.end || !service->open) return;
  service->open = false;
  table_->sweep(origin, service->mark, &changed->remove);
  if (!std::exchange(service->complete, true)) service->changed = true;
}

void Local::split(Service* service, Change change, std::vector<Delta>* deltas) const {
  if (change.empty()) return;
  size_t bytes = delta_bytes_;  // the first one begins a message
  auto next = [&](size_t more) -> Change& {
    if (bytes + more > delta_bytes_) {
      Delta made;
      made.service = service->origin->service;
      made.epoch = service->origin->epoch;
      made.number = ++service->version;
      deltas->push_back(std::move(made));
      bytes = 0;
    }
    bytes += more;
    return deltas->back().change;
  };
  for (NodeBoot& node : change.gone) {
    const size_t more = node.node.size() + sizeof(node.boot);
    next(more).gone.push_back(std::move(node));
  }
  for (Key& key : change.remove) {
    const size_t more = bytes_of(key);
    next(more).remove.push_back(std::move(key));
  }
  for (Location& location : change.add) {
    const size_t more = bytes_of(location);
    next(more).add.push_back(std::move(location));
  }
}

void Local::expire(Time now, std::vector<Gone>* gone) {
  std::vector<std::string> over;
  for (const auto& entry : services_) {
    if (entry.second.origin->deadline <= now) over.push_back(entry.first);
  }
  for (const std::string& service : over) {
    gone->push_back({service, services_.find(service)->second.origin->epoch});
    drop(service);
  }
}

void Local::drop(const std::string& service) {
  const auto found = services_.find(service);
  if (found == services_.end()) return;
  table_->drop(found->second.origin);
  services_.erase(found);
}

}  // namespace imctl::locations
