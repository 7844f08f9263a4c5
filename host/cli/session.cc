#include "cli/session.h"

#include <sys/random.h>

#include <array>
#include <cstdio>
#include <optional>
#include <utility>

#include "cli/catalog_source.h"

namespace imctl::host::cli {

Status Session::open(const Flags& flags) {
  if (transport_ != nullptr) return {};
  interrupt_ = std::make_unique<InterruptWatch>();
  Result<std::unique_ptr<Transport>> opened = open_(flags);
  if (!opened.ok()) return opened.status();
  transport_ = std::move(*opened);
  return {};
}

Status Session::connect(const Flags& flags) {
  if (catalog_ != nullptr) return {};
  Status status = open(flags);
  if (!status.ok()) return status;
  std::unique_ptr<CatalogCache> cache;
  if (!flags.embedded) cache = std::make_unique<CatalogCache>(transport_->where());
  interrupt_->set_call(transport_.get());
  Result<CatalogReply> reply = fetch_catalog(*transport_, cache.get(), flags.timeout);
  interrupt_->set_call(nullptr);
  if (!reply.ok()) return reply.status();
  Result<Catalog> made = Catalog::make(reply->manifests);
  if (!made.ok()) return made.status();
  catalog_ = std::make_unique<Catalog>(std::move(*made));
  return {};
}

Status Session::connect_or_remember(const Flags& flags) {
  Status status = connect(flags);
  if (status.ok() || transport_ == nullptr || flags.embedded) return status;
  CatalogCache cache(transport_->where());
  std::optional<CatalogReply> known = cache.load();
  if (!known) known = cache.load_latest();
  if (!known) return status;
  Result<Catalog> made = Catalog::make(known->manifests);
  if (!made.ok()) return status;
  catalog_ = std::make_unique<Catalog>(std::move(*made));
  return {};
}

void Session::close() { transport_.reset(); }

std::string new_call_id() {
  std::array<unsigned char, 16> bits{};
  if (::getrandom(bits.data(), bits.size(), 0) != static_cast<ssize_t>(bits.size())) return {};
  std::string text;
  for (unsigned char byte : bits) {
    std::array<char, 3> hex{};
    (void)std::snprintf(hex.data(), hex.size(), "%02x", byte);
    text += hex.data();
  }
  return text;
}

}  // namespace imctl::host::cli
