// `imctl`: the command line. What needs the host's own code is the host program's: see
// host_program.h.
#include "cli/connection.h"
#include "cli/host_program.h"
#include "cli/http2_transport.h"
#include "cli/program.h"

namespace {

using imctl::Result;
using imctl::host::cli::Flags;
using imctl::host::cli::Transport;

Result<std::unique_ptr<Transport>> open_transport(const Flags& flags) {
  using namespace imctl::host::cli;
  if (flags.embedded) return become_host_program();
  Result<Connection> connection = find_connection(flags);
  if (!connection.ok()) return connection.status();
  if (connection->tls) return become_host_program();
  return make_http2_transport(*connection);
}

}  // namespace

int main(int argc, char** argv) {
  return imctl::host::cli::run_program(argc, argv, open_transport);
}
