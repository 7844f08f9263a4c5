// Other hosts that modules call by their address: "/package.Service/Method@grpc://HOST:PORT".
// Nothing is asked of them beforehand; what their methods look like is known from the module here
// that serves the same service.
#ifndef IMCTL_HOST_CORE_ADDRESSED_HOSTS_H
#define IMCTL_HOST_CORE_ADDRESSED_HOSTS_H

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "imctl/status.h"
#include "road/method_table.h"

namespace imctl::host {

class Host;
class Instance;

class AddressedHosts {
 public:
  explicit AddressedHosts(Host* host) : host_(host) {}

  // Where calls of a method with an address go; nullptr: not_served() says why. [any]
  std::shared_ptr<const Route> route(MethodSlot& method);
  Status not_served(std::string_view method) const;
  // When no module calls any more.
  void stop();

 private:
  // What serves the method's service at its address; `name` is the method's without that.
  Result<std::shared_ptr<Instance>> open(const MethodSlot& method, const std::string& name);

  Host* const host_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  bool stopped_ = false;
  std::map<std::string, std::shared_ptr<Instance>> instances_;  // by "package.Service@ADDRESS"
  std::map<std::string, std::string, std::less<>> problems_;    // why not, by method
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_ADDRESSED_HOSTS_H
