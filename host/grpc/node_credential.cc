#include "grpc/node_credential.h"

#include <grpcpp/client_context.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "core/sha256.h"

namespace imctl::host {
namespace {

// What HTTP/2 carries as it is; gRPC ends the process over anything else.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

Status check_node_credential(const RemoteSettings& settings) {
  const char* wrong = !is_plain(settings.node)       ? "bind.node"
                      : !is_plain(settings.node_key) ? "bind.node_key"
                                                     : nullptr;
  if (wrong == nullptr) return {};
  return {IMCTL_INVALID_ARGUMENT,
          std::string(wrong) + ": may hold printable ASCII characters only, and no blanks"};
}

void add_node_credential(const RemoteSettings& settings, grpc::ClientContext* context) {
  if (settings.node.empty()) return;
  context->AddMetadata(std::string(kNodeMetadata), settings.node);
  // Without a key the certificate proves it.
  if (settings.node_key.empty()) return;
  context->AddMetadata(std::string(kNodeKeyMetadata), settings.node_key);
}

bool is_node(const std::map<std::string, std::string>& nodes, std::string_view name,
             std::string_view key) {
  static const std::string kNobody(sha256_hex("").size(), '-');  // no digest in hex
  auto found = nodes.find(std::string(name));
  const std::string& expected = found == nodes.end() ? kNobody : found->second;
  std::string given = sha256_hex(key);
  return expected.size() == given.size() &&
         CRYPTO_memcmp(expected.data(), given.data(), given.size()) == 0;
}

}  // namespace imctl::host
