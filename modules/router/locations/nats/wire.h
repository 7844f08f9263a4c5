// Messages as bytes.
#ifndef IMCTL_LOCATIONS_NATS_WIRE_H
#define IMCTL_LOCATIONS_NATS_WIRE_H

#include <optional>
#include <string>
#include <string_view>

#include "replica/message.h"

namespace imctl::locations {

std::string encode(const Message& message);
// Nothing: it is none.
std::optional<Message> decode(std::string_view bytes);

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_NATS_WIRE_H
