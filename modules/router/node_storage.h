// What a node asks of the storage: imctl.storage.v1.Mailboxes, in the forms of the machine.
// Messages pass as bytes.
#ifndef IMCTL_ROUTER_NODE_STORAGE_H
#define IMCTL_ROUTER_NODE_STORAGE_H

#include <chrono>
#include <functional>

#include "asking.h"
#include "router/core/node.h"

namespace imctl::router {

// Answers come on any thread, maybe before the function returns.
class NodeStorage {
 public:
  explicit NodeStorage(const Host& host);
  void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }

  void append(const std::vector<std::string>& mailboxes, const Payload& payload,
              std::function<void(Stored)> answered) const;
  void read(const std::string& mailbox, uint64_t after, uint32_t limit,
            std::function<void(Page)> answered) const;
  void cursors(const std::string& mailbox, std::function<void(CursorPage)> answered) const;
  void move_cursor(const MoveCursor& move, std::function<void(Outcome)> answered) const;
  void drop_cursor(const DropCursor& drop) const;

 private:
  const Host host_;
  const imctl_target* const append_;
  const imctl_target* const read_;
  const imctl_target* const cursors_;
  const imctl_target* const ack_;
  const imctl_target* const delete_cursor_;
  std::chrono::milliseconds timeout_{10000};
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_NODE_STORAGE_H
