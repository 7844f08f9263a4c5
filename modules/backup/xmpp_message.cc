#include "xmpp_message.h"

#include "frames.h"
#include "seal.h"

namespace imctl::backup {
namespace {

void set(pb::CloudEvent* event, const char* name, const std::string& value) {
  if (!value.empty()) (*event->mutable_attributes())[name].set_ce_string(value);
}

}  // namespace

storage::v1::Message to_message(const XmppMessage& from, const std::string& mailbox) {
  constexpr size_t kIdBytes = 16;
  std::string all;
  for (const std::string* part : {&mailbox, &from.stamp, &from.stanza}) {
    all += std::to_string(part->size()) + ":" + *part;
  }
  storage::v1::Message message;
  message.set_from(from.from);
  message.add_to(from.to.empty() ? mailbox : from.to);
  pb::CloudEvent* event = message.mutable_event();
  event->set_id(to_hex(hash_of(all).substr(0, kIdBytes)));
  event->set_source("xmpp:" + mailbox);
  event->set_spec_version("1.0");
  event->set_type("xmpp.message");
  event->set_text_data(from.body);
  set(event, "subject", from.subject);
  set(event, "xmppid", from.id);
  set(event, kStanza, from.stanza);
  return message;
}

}  // namespace imctl::backup
