#include "errors.h"

#include <algorithm>
#include <array>

#include "engine.h"

namespace imctl::storage {
namespace {

bool begins(std::string_view text, std::string_view with) { return text.starts_with(with); }

}  // namespace

bool Error::lost() const { return state_.empty() || begins(state_, "08") || begins(state_, "57P"); }

bool Error::passing() const {
  // Serialization, deadlock, a table that another host dropped meanwhile.
  return begins(state_, "40") || is(kUndefinedTable);
}

Status to_status(const Error& error, const std::string& server) {
  const std::string& state = error.state();
  const std::string why =
      std::string(" (") + error.what() + (state.empty() ? "" : ", SQLSTATE " + state) + ")";
  if (error.is(kLoading)) {
    return {IMCTL_FAILED_PRECONDITION,
            "a snapshot is being loaded, or a load did not come to its end: load it again"};
  }
  if (error.is(kReplacing)) {
    return {IMCTL_UNAVAILABLE,
            "all that is stored is being replaced by a snapshot, and nothing can be written "
            "meanwhile: try again when that is over"};
  }
  if (error.is(kMoved)) return moved_away(error.what());
  if (error.lost() || begins(state, "40")) {
    return {IMCTL_UNAVAILABLE, server + " cannot be reached" + why + ": try again"};
  }
  if (state == "53100") {
    return {IMCTL_RESOURCE_EXHAUSTED,
            "there is no space for " + server + why + ": free some, then try again"};
  }
  if (state == "53300" || state == "57014" || error.is(kLockNotAvailable)) {
    return {IMCTL_UNAVAILABLE, server + " is too busy" + why + ": try again"};
  }
  if (begins(state, "53")) {
    return {IMCTL_RESOURCE_EXHAUSTED, server + " has too little of what it needs" + why +
                                          ": look into its log, then try again"};
  }
  if (error.is(kReadOnly)) {
    return {IMCTL_FAILED_PRECONDITION,
            server + " is read-only" + why + ": name the primary server in uri"};
  }
  if (state == "42501" || begins(state, "28")) {
    return {IMCTL_FAILED_PRECONDITION,
            server + " does not permit it" + why + ": grant it to the user that is configured"};
  }
  constexpr std::array<std::string_view, 4> kMissing = {kUndefinedTable, "42703", "42883", "3F000"};
  if (std::find(kMissing.begin(), kMissing.end(), state) != kMissing.end()) {
    return {
        IMCTL_FAILED_PRECONDITION,
        server + " does not have the tables that it should" + why +
            ": was the schema removed or changed? Restore it, or restart the host for a new one"};
  }
  if (begins(state, "XX") && state != "XX000") {
    return {IMCTL_DATA_LOSS, server + " is damaged" + why + ": put a backup in its place"};
  }
  if (begins(state, "58")) {
    return {IMCTL_UNAVAILABLE,
            "the disk fails under " + server + why + ": look into its log, then try again"};
  }
  if (begins(state, "54")) {
    return {IMCTL_INVALID_ARGUMENT, "a value is too large for " + server + why};
  }
  return {IMCTL_INTERNAL, server + " refuses" + why};
}

}  // namespace imctl::storage
