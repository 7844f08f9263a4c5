// Messages on their way out of a client: who they are from is the node's to say, who they are for
// is looked up.
#ifndef IMCTL_ROUTER_OUTGOING_H
#define IMCTL_ROUTER_OUTGOING_H

#include <functional>
#include <string>
#include <vector>

#include "directory.h"
#include "imctl/storage/v1/mailboxes.pb.h"
#include "router/core/types.h"

namespace imctl::router {

struct OutgoingLimits {
  size_t max_recipients = 0;
  size_t max_message = 0;
};

struct Outgoing {
  std::string id;
  std::vector<std::string> mailboxes;
  Payload payload;  // a serialized imctl.storage.v1.Message
};

// `sender`: user@domain, or a domain; `device` may be empty. `ready` is called exactly once, maybe
// before this returns. INVALID_ARGUMENT, PERMISSION_DENIED (somebody else's name is in it),
// NOT_FOUND (a recipient).
void prepare(Directory* directory, const OutgoingLimits& limits, const std::string& sender,
             const std::string& device, storage::v1::Message message,
             std::function<void(Result<Outgoing>)> ready);

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_OUTGOING_H
