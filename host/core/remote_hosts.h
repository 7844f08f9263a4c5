// The road to other hosts, as a front end's library brings it: for [bind] SERVICE = grpc://HOST:PORT,
// and for modules that call a host by its address.
#ifndef IMCTL_HOST_CORE_REMOTE_HOSTS_H
#define IMCTL_HOST_CORE_REMOTE_HOSTS_H

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/description.h"
#include "imctl/status.h"
#include "road/module_code.h"

namespace imctl::host {

// Section [bind], but for the services: how this host proves itself to others, and they to it.
struct RemoteSettings {
  std::string node;      // the name that this host gives
  std::string node_key;  // and what proves it
  std::string tls_ca;    // files in PEM; empty: the system's authorities
  std::string tls_cert;
  std::string tls_key;
  std::string cache;  // the folder where it is kept what hosts said of themselves
};

class RemoteHosts {
 public:
  virtual ~RemoteHosts() = default;
  // Would configure() take them?
  virtual Status check(const RemoteSettings& settings) const = 0;
  // Before all else.
  virtual Status configure(RemoteSettings settings) = 0;
  // The host at `address` as if it were a module that serves `services`. Waits a few seconds at
  // most; then what it said at an earlier time counts, and if it never was reached it has no
  // methods yet.
  virtual Result<std::shared_ptr<const Description>> describe(
      const std::string& address, const std::vector<std::string>& services) = 0;
  virtual Result<std::unique_ptr<ModuleCode>> make_code(
      std::shared_ptr<const Description> description) = 0;
  // Passes calls on to the host at `address`, whatever that serves and whether it is there or not.
  virtual Result<std::unique_ptr<ModuleCode>> make_forwarder(const std::string& address) = 0;
  // Who hears that the host at `address` is not any more what was described: it was reached for the
  // first time, or serves other methods. Called on a thread of its own, where it may take long;
  // again after a while if it is still so. Nothing: nobody, and it is not being called when this
  // returns.
  virtual void on_changed(std::function<void(const std::string& address)> hook) = 0;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_REMOTE_HOSTS_H
