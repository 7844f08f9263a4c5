// The settings of section [router], as the code takes them.
#ifndef IMCTL_ROUTER_OPTIONS_H
#define IMCTL_ROUTER_OPTIONS_H

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "imctl/service.h"
#include "router/core/node.h"
#include "router/core/service.h"

namespace imctl::router {

struct Options {
  bool is_node = false;
  bool is_service = false;
  std::string name;
  std::string domain;
  std::vector<std::string> services;  // addresses
  // Names and boots are filled when the module is activated.
  NodeSettings node;
  ServiceSettings service;
  size_t max_sessions = 0;
  size_t max_recipients = 0;
  size_t max_message = 0;
  std::chrono::milliseconds storage_timeout{0};

  // INVALID_ARGUMENT names the setting.
  static Result<Options> read(const Settings& settings);
};

// The name of a host that has none in its settings: the machine's and a random part, kept in
// `folder`.
Result<std::string> own_name(const std::string& folder);
// A number larger than any that was given before for that folder: microseconds since 1970, unless
// the clock was put back.
Result<uint64_t> next_boot(const std::string& folder);

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_OPTIONS_H
