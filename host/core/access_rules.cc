#include "core/access_rules.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace imctl::host {
namespace {

constexpr std::array<std::pair<std::string_view, imctl_principal_kind>, 3> kKinds = {
    {{"user", IMCTL_PRINCIPAL_USER},
     {"node", IMCTL_PRINCIPAL_NODE},
     {"admin", IMCTL_PRINCIPAL_ADMIN}}};

CertifiedName name_of(std::string_view kind, std::string_view name) {
  for (const auto& [word, known] : kKinds) {
    if (kind == word && !name.empty()) return {known, std::string(name)};
  }
  return {};
}

std::string_view trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") + 1 - from);
}

// "imctl.user.v1.Users/*": of what the names of methods are made, and `*`.
bool is_glob(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("._/*").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

Result<std::vector<std::string>> read_role(const FreeSetting& role) {
  if (role.key == kAdminRole) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  role.origin("roles") + ": is there without saying so, and has all methods");
  }
  std::vector<std::string> globs;
  for (size_t from = 0; from <= role.text.size();) {
    const size_t to = std::min(role.text.find(',', from), role.text.size());
    std::string_view glob = trimmed(std::string_view(role.text).substr(from, to - from));
    if (!is_glob(glob)) {
      return Status(IMCTL_INVALID_ARGUMENT,
                    role.origin("roles") + ": '" + std::string(glob) +
                        "' is not the name of a method, like imctl.user.v1.Users/Get, or several "
                        "with *; commas are between them (`imctl access list` shows all methods)");
    }
    globs.emplace_back(glob);
    from = to + 1;
  }
  return globs;
}

Result<CertifiedName> read_certificate(const FreeSetting& certificate) {
  std::string_view text = trimmed(certificate.text);
  if (text == "nobody") return CertifiedName();
  const size_t blank = text.find(' ');
  CertifiedName found = blank == std::string_view::npos
                            ? CertifiedName()
                            : name_of(text.substr(0, blank), trimmed(text.substr(blank)));
  if (found.kind != IMCTL_PRINCIPAL_NONE) return found;
  return Status(IMCTL_INVALID_ARGUMENT,
                certificate.origin("certificates") + ": '" + std::string(text) +
                    "' is not user ANN@EXAMPLE.ORG, node NAME, admin NAME, or nobody");
}

}  // namespace

CertifiedName AccessRules::find(const std::vector<std::string>& uris,
                                const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    auto at = certificates.find(name);
    if (at != certificates.end()) return at->second;
  }
  constexpr std::string_view kScheme = "imctl://";
  std::vector<CertifiedName> found;
  for (std::string_view uri : uris) {
    if (!uri.starts_with(kScheme)) continue;
    uri.remove_prefix(kScheme.size());
    const size_t slash = std::min(uri.find('/'), uri.size());
    found.push_back(name_of(uri.substr(0, slash), uri.substr(std::min(slash + 1, uri.size()))));
  }
  return found.size() == 1 ? found.front() : CertifiedName();
}

Result<AccessRules> read_access_rules(SettingsSources& sources,
                                      std::map<std::string, std::vector<SettingValue>>* shown) {
  AccessRules rules;
  rules.roles[kAdminRole] = {"*"};
  for (const char* section : {"roles", "certificates"}) {
    Result<std::vector<FreeSetting>> said = sources.free_settings(section, FreeKeys::kAll);
    if (!said.ok()) return said.status();
    std::vector<SettingValue>& values = (*shown)[section];
    for (const FreeSetting& one : *said) {
      values.push_back(one.value(section));
      values.back().live = true;
      if (section == std::string_view("roles")) {
        Result<std::vector<std::string>> globs = read_role(one);
        if (!globs.ok()) return globs.status();
        rules.roles[one.key] = std::move(*globs);
      } else {
        Result<CertifiedName> name = read_certificate(one);
        if (!name.ok()) return name.status();
        rules.certificates[one.key] = std::move(*name);
      }
    }
  }
  return rules;
}

}  // namespace imctl::host
