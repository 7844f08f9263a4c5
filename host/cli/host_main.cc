// `imctl` once more, with the host in it: `serve`, `--embedded`, TLS, and the files of modules.
#include "cli/connection.h"
#include "cli/embedded_transport.h"
#include "cli/grpc_transport.h"
#include "cli/host_options.h"
#include "cli/host_verbs.h"
#include "cli/program.h"

namespace {

using imctl::Result;
using imctl::host::cli::Flags;
using imctl::host::cli::Transport;

Result<std::unique_ptr<Transport>> open_transport(const Flags& flags) {
  using namespace imctl::host::cli;
  if (flags.embedded) {
    imctl::host::HostOptions options = host_options(flags);
    options.quiet = true;
    return make_embedded_transport(options);
  }
  Result<Connection> connection = find_connection(flags);
  if (!connection.ok()) return connection.status();
  return make_grpc_transport(*connection);
}

}  // namespace

int main(int argc, char** argv) {
  imctl::host::cli::add_host_verbs();
  return imctl::host::cli::run_program(argc, argv, open_transport);
}
