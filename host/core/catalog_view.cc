#include "core/catalog_view.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace imctl::host {
namespace {

// The manifest with the services that the module is chosen to serve. Most often that is all of
// them: then as it stands in the file.
std::string shown_manifest(const Instance& instance, const Modules::View& view) {
  const Manifest& manifest = manifest_of(instance);
  auto chosen = [&](const std::string& service) {
    auto provider = view.providers.find(service);
    return provider == view.providers.end() || provider->second == instance.name();
  };
  if (std::all_of(manifest.serves().begin(), manifest.serves().end(), chosen)) {
    return instance.description().file.manifest_bytes;
  }
  Manifest shown = manifest;
  shown.clear_serves();
  for (const std::string& service : manifest.serves()) {
    if (chosen(service)) shown.add_serves(service);
  }
  return shown.SerializeAsString();
}

std::string digest_of(const std::vector<std::string>& texts) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr);
  for (const std::string& text : texts) EVP_DigestUpdate(hash.get(), text.data(), text.size());
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(hash.get(), digest.data(), &size);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    hex += kHex[digest[i] >> 4];
    hex += kHex[digest[i] & 15];
  }
  return hex;
}

}  // namespace

void fill_catalog(Modules::View& view) {
  for (const auto& instance : view.modules) {
    view.manifests.push_back(shown_manifest(*instance, view));
  }
  view.digest = digest_of(view.manifests);
}

}  // namespace imctl::host
