#include "settings.h"

#include <algorithm>
#include <utility>

namespace imctl::storage {
namespace {

// Tag and length of a message within a reply.
constexpr size_t kReplyOverhead = 64;

}  // namespace

Status finish_settings(std::vector<std::string> grants, CommonSettings* settings) {
  if (settings->max_message + kReplyOverhead > settings->max_reply) {
    return {IMCTL_INVALID_ARGUMENT, "max_message: a message of " +
                                        std::to_string(settings->max_message) +
                                        " bytes would not fit into an answer of max_reply, " +
                                        std::to_string(settings->max_reply) +
                                        " bytes, and could never be read: make max_reply larger"};
  }
  for (std::string& grant : grants) {
    size_t equals = grant.find('=');
    size_t slash = grant.find('/', equals == std::string::npos ? 0 : equals);
    if (equals == 0 || equals == std::string::npos || slash == std::string::npos ||
        slash == equals + 1 || slash + 1 == grant.size() ||
        std::count(grant.begin(), grant.end(), '/') != 1) {
      return {IMCTL_INVALID_ARGUMENT,
              "record_grants: \"" + grant +
                  "\" is no grant: write MODULE=OWNER/COLLECTION, for example "
                  "\"backup=user/users\"; the collection may be *"};
    }
    settings->grants.push_back({grant.substr(0, equals), grant.substr(equals + 1)});
  }
  return {};
}

}  // namespace imctl::storage
