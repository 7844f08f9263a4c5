#include "cli/host_options.h"

#include <unistd.h>

#include <string>

#include "cli/address.h"
#include "grpc/remote_hosts.h"

namespace imctl::host::cli {

HostOptions host_options(const Flags& flags) {
  HostOptions options;
  options.config_file = config_file(flags.config);
  options.new_config_file = new_config_file();
  options.set = flags.set;
  options.remote_hosts = make_remote_hosts();
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
    std::string text = *entry;
    size_t equals = text.find('=');
    if (equals != std::string::npos)
      options.environment[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return options;
}

}  // namespace imctl::host::cli
