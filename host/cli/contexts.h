// Contexts: named ways to hosts, a file each in $XDG_CONFIG_HOME/imctl/contexts/, in the form of a
// config file.
#ifndef IMCTL_HOST_CLI_CONTEXTS_H
#define IMCTL_HOST_CLI_CONTEXTS_H

#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host::cli {

struct Context {
  std::string server;
  // Files in PEM, for grpcs://: whose certificates are believed (default: the system's), and our
  // own.
  std::string tls_ca;
  std::string tls_cert;
  std::string tls_key;
  // The name that the host's certificate has to have; default: the address's.
  std::string tls_name;
  // Holds what is sent as `authorization: Bearer ...`.
  std::string token_file;
};

// One of its settings.
struct ContextKey {
  const char* key;  // in the file; as a flag with `-` for `_`
  std::string Context::*member;
  bool is_file;
  const char* help;
};
const std::vector<ContextKey>& context_keys();

class Contexts {
 public:
  Contexts();  // those of this user

  // Sorted. A folder that is not there has none.
  std::vector<std::string> names() const;
  // NOT_FOUND names the nearest.
  Result<Context> get(const std::string& name) const;
  // ALREADY_EXISTS unless `replace`.
  Status put(const std::string& name, const Context& context, bool replace) const;
  Status remove(const std::string& name) const;
  // The one in use where the command line and the environment name none; empty: none is.
  std::string current() const;
  Status use(const std::string& name) const;  // empty: none

  // Where `imctl login` keeps the token for a context; for a host that no context names, by its
  // address. It need not be there. It goes with its context.
  std::string kept_token(const std::string& name) const;
  std::string kept_token_of_address(const std::string& address) const;

 private:
  std::string file(const std::string& name) const;

  std::string folder_;
  std::string current_file_;
  std::string tokens_folder_;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_CONTEXTS_H
