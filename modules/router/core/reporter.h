// Reporter: tells the Locations module which sessions are registered with this service.
//
// One Report at a time; what changes meanwhile is collected by key and looked up when it goes, so
// that a session that came and went is told as it is then. After an error, or when too much was
// collected, all of it is told anew as a snapshot in batches.
#ifndef IMCTL_ROUTER_CORE_REPORTER_H
#define IMCTL_ROUTER_CORE_REPORTER_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "table.h"

namespace imctl::router {

class Reporter : public Table::Watcher {
 public:
  Reporter(const ServiceSettings& settings, ServiceActions& out) : settings_(settings), out_(out) {}
  void attach(const Table& table) { table_ = &table; }

  void changed(const NodeRecord& node, SessionId session, const std::string& user) override;
  void shared(Time now, bool shared);
  void reported(Time now, Ticket ticket, const Outcome& outcome);
  void tick(Time now);
  Time next_deadline() const;
  size_t unreported() const { return touched_.size(); }

 private:
  struct Touched {
    std::string node;
    uint64_t boot = 0;
    SessionId session = 0;
    std::string user;
  };
  void begin_snapshot();
  void send_changes(Report& report);
  void send_snapshot(Report& report);

  const ServiceSettings& settings_;
  ServiceActions& out_;
  const Table* table_ = nullptr;
  bool shared_ = false;
  bool snapshot_ = false;       // all is to be told anew
  bool begun_ = false;          // and a part of it was
  std::string node_;            // up to which node
  std::vector<SessionId> ids_;  // and which of its sessions are left
  std::vector<Touched> touched_;
  size_t told_ = 0;  // of them, if that report goes well
  Ticket tickets_ = 0;
  Ticket outstanding_ = 0;
  Time next_at_ = 0;  // not before
  Time renewed_at_ = 0;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_REPORTER_H
