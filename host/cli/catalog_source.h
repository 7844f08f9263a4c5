// Gets the catalog from the host, with a cache on the client's side so that descriptors are sent
// only when they changed.
#ifndef IMCTL_HOST_CLI_CATALOG_SOURCE_H
#define IMCTL_HOST_CLI_CATALOG_SOURCE_H

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/transport.h"
#include "imctl/status.h"

namespace imctl::host::cli {

// imctl.host.v1.GetCatalogResponse. The message code of that file belongs to the built-in module,
// so the client reads the reply by field numbers.
struct CatalogReply {
  std::string digest;
  std::vector<std::string> manifests;
  std::string version;

  static std::optional<CatalogReply> parse(const std::string& bytes);
  std::string serialize() const;
};

// $XDG_CACHE_HOME/imctl, one file per address of a host. What is broken or cannot be written is as
// if it were not there.
class CatalogCache {
 public:
  explicit CatalogCache(const std::string& address);

  std::optional<CatalogReply> load() const;
  // That of whichever host was spoken to last.
  std::optional<CatalogReply> load_latest() const;
  // And forgets those that were stored longest ago, of many.
  void store(const CatalogReply& reply) const;

 private:
  void forget_oldest() const;

  std::string folder_;
  std::string file_;
};

// Asks the host. `cache` may be nullptr.
Result<CatalogReply> fetch_catalog(Transport& transport, const CatalogCache* cache,
                                   std::chrono::nanoseconds timeout);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_CATALOG_SOURCE_H
