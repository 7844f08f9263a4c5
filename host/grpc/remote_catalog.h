// What another host says of itself, as the description of a module; and the file where that is kept
// for times when it does not answer.
#ifndef IMCTL_HOST_GRPC_REMOTE_CATALOG_H
#define IMCTL_HOST_GRPC_REMOTE_CATALOG_H

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/description.h"
#include "core/remote_hosts.h"
#include "imctl/host/v1/host.pb.h"
#include "imctl/status.h"

namespace imctl::host {

// What RemoteHosts::describe makes and make_code takes.
struct RemoteDescription : Description {
  RemoteSettings settings;
  std::string digest;   // of the catalog that it was made from; empty: none is known
  std::string problem;  // why the host did not answer; empty: it did
};

// The host at `address` as if it were a module that serves `services`. Without a catalog nothing is
// known of their methods. An error says which of them the host does not serve, and which it does.
Result<std::shared_ptr<RemoteDescription>> describe_remote(const std::string& address,
                                                           const std::vector<std::string>& services,
                                                           const RemoteSettings& settings,
                                                           const v1::GetCatalogResponse* catalog);

// The file of one address; an empty folder: none is kept.
class RemoteCache {
 public:
  RemoteCache(const std::string& folder, const std::string& address);
  // Nothing if there is none that can be read.
  std::optional<v1::GetCatalogResponse> load() const;
  // Whole or not at all. That it cannot be kept is no error: it is asked for again.
  void store(const v1::GetCatalogResponse& catalog) const;

 private:
  std::string folder_, file_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_REMOTE_CATALOG_H
