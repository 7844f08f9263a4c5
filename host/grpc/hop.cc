#include "grpc/hop.h"

#include <grpc/support/time.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "grpc/node_credential.h"
#include "road/principal_kind.h"

namespace imctl::host {
namespace {

constexpr std::string_view kPrincipal = "imctl-principal";
constexpr std::string_view kPrincipalKind = "imctl-principal-kind";
constexpr std::string_view kCallerModule = "imctl-caller-module";
constexpr std::string_view kDepth = "imctl-depth";
constexpr std::string_view kOwnPrefix = "imctl-";

// Names may be of any characters, metadata may not: as in a URI.
std::string escape(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    if (c > ' ' && c <= '~' && c != '%') {
      out += c;
      continue;
    }
    auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr ==
            text.data() + i + 3) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
}

// What goes on to the next host of what the caller gave: not what is between two hosts only, nor
// the proof of who the caller is, which the principal stands for.
bool goes_on(std::string_view key, std::string_view value) {
  static constexpr std::array<std::string_view, 12> kHere = {"authorization",
                                                             "proxy-authorization",
                                                             "cookie",
                                                             "user-agent",
                                                             "host",
                                                             "te",
                                                             "connection",
                                                             "keep-alive",
                                                             "content-type",
                                                             "content-length",
                                                             "transfer-encoding",
                                                             "upgrade"};
  auto in_key = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  if (key == IMCTL_RESUME_KEY) return true;
  if (key.empty() || !std::all_of(key.begin(), key.end(), in_key)) return false;
  if (key.substr(0, kOwnPrefix.size()) == kOwnPrefix || key.substr(0, 5) == "grpc-") return false;
  if (std::find(kHere.begin(), kHere.end(), key) != kHere.end()) return false;
  return ends_with(key, "-bin") ||
         std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

void write_hop(const CallParams& params, const RemoteSettings& settings,
               grpc::ClientContext* context) {
  auto add = [&](std::string_view key, const std::string& value) {
    context->AddMetadata(std::string(key), value);
  };
  for (const auto& [key, value] : params.metadata) {
    if (goes_on(key, value)) context->AddMetadata(key, value);
  }
  add(kCallIdMetadata, escape(params.call_id));
  add(kDepth, std::to_string(params.depth + 1));
  if ((params.flags & IMCTL_DRY_RUN) != 0) add(kDryRunMetadata, "1");
  if (params.deadline != 0) {
    gpr_timespec left = gpr_time_from_nanos(params.deadline - monotonic_now(), GPR_TIMESPAN);
    context->set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), left));
  }
  if (settings.node.empty()) return;
  add_node_credential(settings, context);
  add(kPrincipalKind, std::string(principal_kind_name(params.principal_kind)));
  add(kPrincipal, escape(params.principal));
  if (!params.peer.empty()) add(kPeerMetadata, escape(params.peer));
  if (params.grant != nullptr && !params.grant->credential.empty()) {
    add(kCredentialMetadata, escape(params.grant->credential));
  }
  if (!params.caller_module.empty()) add(kCallerModule, escape(params.caller_module));
}

bool ReadHop::take(std::string_view key, std::string_view value) {
  if (key.substr(0, kOwnPrefix.size()) != kOwnPrefix) return false;
  if (key == kDepth) {
    // A caller that lies about it only shortens its own way.
    (void)std::from_chars(value.data(), value.data() + value.size(), depth_);
    return true;
  }
  for (auto [name, place] : {std::pair(kNodeMetadata, &node_),
                             {kNodeKeyMetadata, &node_key_},
                             {kPrincipal, &principal_},
                             {kPrincipalKind, &principal_kind_},
                             {kPeerMetadata, &peer_},
                             {kCredentialMetadata, &credential_},
                             {kCallerModule, &caller_module_}}) {
    if (key != name) continue;
    if (!place->has_value()) *place = value;
    return true;
  }
  return false;
}

Status ReadHop::apply(const std::map<std::string, std::string>& nodes, CallParams* params) const {
  params->depth = depth_;
  if (!node_) return {};
  const bool certified = !params->node.empty() && params->node == *node_ && !node_key_;
  if (!certified && !is_node(nodes, *node_, node_key_.value_or(std::string()))) {
    params->principal_kind = IMCTL_PRINCIPAL_NONE;
    params->principal = *node_;  // who it says it is
    // The same words whichever of the two is wrong: nobody is to find out which nodes there are.
    return {IMCTL_UNAUTHENTICATED,
            "the node's name or key is not one that this host knows: compare bind.node and "
            "bind.node_key there with section [nodes] here"};
  }
  params->node = *node_;
  params->certified_user.clear();
  params->principal_kind = IMCTL_PRINCIPAL_NODE;
  params->principal = *node_;
  if (!principal_kind_) return {};
  const std::optional<imctl_principal_kind> kind = principal_kind(*principal_kind_);
  if (!kind) {
    return {IMCTL_INVALID_ARGUMENT, "node " + *node_ + " forwards a principal of the kind '" +
                                        *principal_kind_ +
                                        "', which this host does not know: is it older?"};
  }
  params->principal_kind = *kind;
  params->principal = unescape(principal_.value_or(std::string()));
  // Credentials are of one host: a log must tell the sockets of two hosts apart.
  if (kind == IMCTL_PRINCIPAL_ADMIN) params->principal = *node_ + "/" + params->principal;
  params->caller_module = unescape(caller_module_.value_or(std::string()));
  if (peer_) params->peer = unescape(*peer_);
  if (credential_) params->metadata.emplace_back(kCredentialMetadata, unescape(*credential_));
  return {};
}

}  // namespace imctl::host
