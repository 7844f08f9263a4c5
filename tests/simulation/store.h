// Store: a model of imctl.storage.v1.Mailboxes, as its .proto tells it. Calls take their time, fail
// now and then, and now and then only their answer is lost.
#ifndef IMCTL_SIMULATION_STORE_H
#define IMCTL_SIMULATION_STORE_H

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "router/core/node.h"
#include "router/core/random.h"
#include "timeline.h"

namespace imctl::simulation {

using router::Payload;
using router::Position;
using router::Random;

class Store {
 public:
  struct Mailbox {
    uint64_t epoch = 0;
    uint64_t first = 1;
    std::vector<router::PageEntry> entries;  // from 1 on; those before `first` are expired
    std::map<std::string, router::CursorEntry> cursors;
    uint64_t last() const { return entries.size(); }
  };

  Store(Timeline& timeline, Random& random) : timeline_(timeline), random_(random) {}

  // ---- calls; `done` comes later.
  void append(const router::Append& call, std::function<void(router::Stored)> done);
  void read(const router::StartRead& call, std::function<void(router::Page)> done);
  void cursors(const router::ListCursors& call, std::function<void(router::CursorPage)> done);
  void ack(const router::MoveCursor& call, std::function<void(router::Outcome)> done);
  void drop(const router::DropCursor& call);

  // ---- what happens to it.
  void expire(const std::string& mailbox, uint64_t first);
  void remove(const std::string& mailbox);
  Time slowest = 10;     // milliseconds a call takes, at most
  uint32_t failing = 0;  // of 1000 calls
  uint32_t losing = 0;   // of 1000 answers
  uint32_t page_limit = 1000;
  // Before a cursor moves: the mailbox, the device, how far.
  std::function<void(const router::MoveCursor&)> on_move;

  // ---- what is in it.
  const Mailbox* find(const std::string& mailbox) const {
    const auto found = mailboxes_.find(mailbox);
    return found == mailboxes_.end() ? nullptr : &found->second;
  }
  // The message at a place; null: there is none (any more).
  Payload at(const std::string& mailbox, uint64_t epoch, uint64_t sequence) const;
  // Whether a message was stored, and for whom.
  const std::vector<Position>* positions(const std::string& message) const {
    const auto found = messages_.find(message);
    return found == messages_.end() ? nullptr : &found->second.positions;
  }

 private:
  struct Known {
    std::vector<Position> positions;
    router::WallTime time = 0;
  };
  Time delay() { return 1 + static_cast<Time>(random_.below(static_cast<uint64_t>(slowest))); }
  bool fails() { return random_.below(1000) < failing; }
  bool loses() { return random_.below(1000) < losing; }
  router::Stored commit(const router::Append& call);

  Timeline& timeline_;
  Random& random_;
  std::unordered_map<std::string, Mailbox> mailboxes_;
  std::unordered_map<std::string, Known> messages_;
  uint64_t epochs_ = 100;
};

}  // namespace imctl::simulation

#endif  // IMCTL_SIMULATION_STORE_H
