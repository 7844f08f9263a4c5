// Requests that no client would send.
#ifndef IMCTL_HOST_CHECK_RANDOM_MESSAGE_H
#define IMCTL_HOST_CHECK_RANDOM_MESSAGE_H

#include <google/protobuf/message.h>

#include <random>
#include <string>

namespace imctl::host {

using Random = std::mt19937;

// Fills some of the fields, with anything that their types allow.
void fill_at_random(google::protobuf::Message& message, Random& random, int depth = 3);

std::string random_bytes(Random& random, size_t most);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CHECK_RANDOM_MESSAGE_H
