// The one form of a user's address. From any thread.
#ifndef IMCTL_USER_ADDRESS_H
#define IMCTL_USER_ADDRESS_H

#include <string>
#include <string_view>

#include "imctl/status.h"

namespace imctl::user {

// Of each part. Together they fit a key of the storage.
constexpr size_t kMaxUserPart = 255;
constexpr size_t kMaxDomain = 255;

// user@domain as it is kept and compared: the user part after Nodeprep, the domain as IDNA2008 has
// it, in Unicode. A bare user is of `default_domain`, which is normalised. INVALID_ARGUMENT says
// what is wrong.
Result<std::string> normalise_address(std::string_view text, std::string_view default_domain);

Result<std::string> normalise_domain(std::string_view text);

// What `text` may begin with of an address, in the form of addresses; as it is if it has none.
std::string normalise_prefix(std::string_view text);

}  // namespace imctl::user

#endif  // IMCTL_USER_ADDRESS_H
