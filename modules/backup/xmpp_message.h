// Messages of XMPP as they are kept here, and back. The stanza is kept whole, in the event's
// attribute `xmppstanza`, so that it leaves as it came; the event's text is its body.
#ifndef IMCTL_BACKUP_XMPP_MESSAGE_H
#define IMCTL_BACKUP_XMPP_MESSAGE_H

#include <string>

#include "imctl/storage/v1/mailboxes.pb.h"

namespace imctl::backup {

inline constexpr char kStanza[] = "xmppstanza";

struct XmppMessage {
  std::string stanza;  // the element <message>, with its namespaces
  std::string from;
  std::string to;
  std::string id;
  std::string body;
  std::string subject;
  std::string stamp;  // of its <delay>; RFC 3339
};

// In the mailbox of a user. The same stanza of the same time gets the same id there, so that
// importing it twice stores it once; in other mailboxes it gets others.
storage::v1::Message to_message(const XmppMessage& from, const std::string& mailbox);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_XMPP_MESSAGE_H
