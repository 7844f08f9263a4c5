#include "outgoing.h"

#include <memory>
#include <utility>

namespace imctl::router {
namespace {

// RFC 3860.
constexpr char kScheme[] = "im:";

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

Status stamp(const std::string& sender, const std::string& device, storage::v1::Message* message) {
  const std::string full = device.empty() ? sender : sender + "/" + device;
  if (!message->from().empty() && message->from() != sender && message->from() != full) {
    return {IMCTL_PERMISSION_DENIED, "message.from is \"" + message->from() + "\", but you are " +
                                         sender + ": leave it empty, it is filled here"};
  }
  message->set_from(full);
  pb::CloudEvent* event = message->mutable_event();
  const std::string source = kScheme + sender;
  if (!event->source().empty() && event->source() != source) {
    return {IMCTL_PERMISSION_DENIED, "message.event.source is \"" + event->source() + "\", not \"" +
                                         source + "\": leave it empty, it is filled here"};
  }
  event->set_source(source);
  if (event->id().empty()) {
    return bad("message.event.id is empty: give each message one, so that it can be sent again");
  }
  if (event->type().empty())
    return bad("message.event.type is empty: say what kind of message it is");
  if (event->spec_version().empty()) event->set_spec_version("1.0");
  return {};
}

}  // namespace

void prepare(Directory* directory, const OutgoingLimits& limits, const std::string& sender,
             const std::string& device, storage::v1::Message message,
             std::function<void(Result<Outgoing>)> ready) {
  Status status = stamp(sender, device, &message);
  if (status.ok() && message.to().empty()) status = bad("message.to is empty: say who it is for");
  if (status.ok() && static_cast<size_t>(message.to_size()) > limits.max_recipients) {
    status = bad(std::to_string(message.to_size()) +
                 " recipients are more than router.max_recipients, " +
                 std::to_string(limits.max_recipients));
  }
  if (status.ok() && message.ByteSizeLong() > limits.max_message) {
    status = bad("the message is larger than router.max_message, " +
                 std::to_string(limits.max_message) + " bytes");
  }
  if (!status.ok()) return ready(status);
  Outgoing made;
  made.id = message.event().id();
  std::vector<std::string> to(message.to().begin(), message.to().end());
  made.payload = std::make_shared<const std::string>(message.SerializeAsString());
  auto held = std::make_shared<Outgoing>(std::move(made));
  directory->find(std::move(to),
                  [held, ready = std::move(ready)](Result<std::vector<std::string>> mailboxes) {
                    if (!mailboxes.ok()) return ready(mailboxes.status());
                    held->mailboxes = std::move(*mailboxes);
                    ready(std::move(*held));
                  });
}

}  // namespace imctl::router
