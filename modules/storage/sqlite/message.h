// Messages on their way into the store: what is valid, and their canonical form.
#ifndef IMCTL_STORAGE_SQLITE_MESSAGE_H
#define IMCTL_STORAGE_SQLITE_MESSAGE_H

#include <cstddef>
#include <string>
#include <string_view>

#include "api/grpc/cloudevents/cloudevent.pb.h"
#include "imctl/status.h"

namespace imctl::storage {

// A message as it is stored.
struct Row {
  std::string id;
  std::string data;  // canonical
};

// OK, or INVALID_ARGUMENT with why `message`, the one at `index` of its batch, cannot be stored.
Status validate(const pb::CloudEvent& message, size_t index, size_t max_message);

// The bytes that equal messages share: map entries sorted, unknown fields kept.
std::string canonical(const pb::CloudEvent& message);

// How errors name a message: `msgs[3] (id "abc")`.
std::string describe(size_t index, std::string_view id);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_MESSAGE_H
