// What Redis does at one go, in its own language, and how things are written there.
//
//   imctl:CLUSTER:user:USER      hash: a field a session, SERVICE ␟ NODE ␟ BOOT ␟ SESSION (␟ is
//   byte 31),
//                                with the value TOKEN ␟ DEVICE ␟ SINCE
//   imctl:CLUSTER:lease:SERVICE  TOKEN ␟ STATE ␟ COUNT, as long as the service's lease holds
//   imctl:CLUSTER:node:NODE      the newest boot of the node
//   imctl:CLUSTER:services       set of names
//
// A token stands for one time that a service wrote all it has: boot and time, in twenty digits
// each, and what is newer sorts later. Locations with another one than the lease's are left over,
// and removed by whoever finds them; so a service that cannot know what is in Redis takes another
// token and writes everything again. The lease comes first, and nothing is written under a token
// that the lease has not: what an earlier connection still had to say arrives in vain, however
// late.
#ifndef IMCTL_LOCATIONS_REDIS_SCRIPTS_H
#define IMCTL_LOCATIONS_REDIS_SCRIPTS_H

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "replica/location.h"

namespace imctl::locations {

constexpr char kUnit = '\x1f';

// STATE of a lease.
constexpr char kWriting = 'w';  // not everything is there yet
constexpr char kComplete = 'c';
constexpr char kLeft = 'l';

enum Script : size_t {
  // PREFIX SERVICE TOKEN STATE COUNT MILLISECONDS EXPIRY: renews a lease. Gives the token that was
  // there before, or an empty string; if that is newer it stays, unless another process left it
  // behind.
  kLease,
  // PREFIX SERVICE TOKEN USER FIELD VALUE EXPIRY: writes a location, or removes it if the value is
  // empty. Only if the service's lease has the token.
  kWrite,
  // PREFIX NODE BOOT EXPIRY: notes a boot of a node, if it is the newest.
  kNode,
  // PREFIX SERVICE NODE USER...: what holds of these users: user, field and value, in turn.
  // Services that
  // are asked for with "-SERVICE" are left out, with "+SERVICE" others are; empty arguments do
  // nothing.
  // The value is empty if the service's lease is not there and nobody has noticed yet: it may be
  // late with it.
  kFind,
  // PREFIX: the services: name, lease and the milliseconds that it holds, in turn.
  kServices,
  kScripts
};
extern const std::array<const char*, kScripts> kScriptTexts;

// Names as parts of fields: without control characters.
std::string escape(std::string_view name);
std::string unescape(std::string_view text);
std::string digits(uint64_t number);  // twenty
std::vector<std::string_view> split(std::string_view text);

std::string token_of(uint64_t boot, uint64_t time);
std::string field_of(const std::string& service, const Key& key);
std::string value_of(const std::string& token, const Location& location);

struct Found {
  Location location;
  std::string service;
};
// False: it is none.
bool read_found(std::string_view user, std::string_view field, std::string_view value,
                Found* found);

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_REDIS_SCRIPTS_H
