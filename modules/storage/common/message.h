// Messages on their way into the store: what is valid, and when two are the same.
#ifndef IMCTL_STORAGE_MESSAGE_H
#define IMCTL_STORAGE_MESSAGE_H

#include <cstddef>
#include <string>
#include <string_view>

#include "api/grpc/cloudevents/cloudevent.pb.h"

namespace imctl::storage {

// The field that every message needs and this one has not; empty: it has them all.
std::string missing_field(const pb::CloudEvent& message);

// What a message in mailboxes is known by: AppendMessage::key.
std::string delivery_key(const pb::CloudEvent& event);

// Are these, a serialized pb.CloudEvent each, one and the same message? The order of its attributes
// does not matter, fields that are unknown here do.
bool same_message(std::string_view a, std::string_view b);
// The same for imctl.storage.v1.Message.
bool same_delivery(std::string_view a, std::string_view b);

// How errors name a message: `msgs[3] (id "abc")`.
std::string describe(size_t index, std::string_view id);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_MESSAGE_H
