// The rules that every module keeps: docs/module-rules.md says what each means, why, and how
// `imctl module check` looks at it. Who finds one broken names its number.
#ifndef IMCTL_HOST_ROAD_RULES_H
#define IMCTL_HOST_ROAD_RULES_H

#include <array>
#include <cstddef>
#include <string>

namespace imctl::host {

enum class Rule : size_t {
  kModule = 1,
  kAbi,
  kExports,
  kUniqueSymbols,
  kLibraries,
  kDescriptors,
  kVerbs,
  kDeclared,
  kSizes,
  kSlots,
  kLifecycle,
  kUnmapped,
  kSettings,
  kRequests,
  kExceptions,
  kFinishOnce,
  kUseAfterFinish,
  kFinishes,
  kCancel,
  kCredit,
  kStop,
  kThreads,
  kSwap
};

constexpr std::array<const char*, 23> kRuleTitles = {
    "It is a module",
    "It is built for this host's ABI",
    "It exports imctl_module_entry and nothing else",
    "It has no unique symbols",
    "Its libraries can be loaded beside the host's",
    "Its descriptors hold together",
    "Its verbs are its own",
    "Each method says what it does and who may call it",
    "Its structs have their sizes",
    "Its functions are there",
    "It goes through its life again and again",
    "It leaves nothing mapped",
    "It bears settings that it does not know",
    "It bears any request",
    "It throws nothing at the host",
    "It finishes a call once",
    "It leaves finished calls alone",
    "It finishes every call",
    "It ends what is cancelled",
    "It waits for the credit of its streams",
    "It stops soon",
    "It does not hold up the host's threads",
    "It can be replaced by a copy of itself",
};
constexpr size_t kRules = kRuleTitles.size();

inline size_t number_of(Rule rule) { return static_cast<size_t>(rule); }
inline const char* title_of(Rule rule) { return kRuleTitles[number_of(rule) - 1]; }

// What stands at the end of a message about a breach.
inline std::string named(Rule rule) {
  return " (rule " + std::to_string(number_of(rule)) + " of module-rules.md)";
}

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_RULES_H
