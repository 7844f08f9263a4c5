#include "cli/contexts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "cli/address.h"
#include "cli/field_value.h"
#include "cli/files.h"
#include "cli/suggest.h"
#include "cli/text.h"
#include "core/settings_edit.h"
#include "core/settings_file.h"

namespace imctl::host::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSection = "context";
constexpr const char* kSuffix = ".conf";

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

Status check_name(const std::string& name) {
  if (is_name(name)) return {};
  return {IMCTL_INVALID_ARGUMENT, "'" + clean_line(name) +
                                      "' is no name of a context: use letters, digits, `-`, `_`, "
                                      "`.`, at most 64 of them"};
}

Status write_file(const std::string& path, const std::string& text) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  return replace_file(path, 0600, text);
}

}  // namespace

const std::vector<ContextKey>& context_keys() {
  static const std::vector<ContextKey> kKeys = {
      {"server", &Context::server, false,
       "the host: unix:PATH, HOST:PORT, grpcs://HOST:PORT for TLS"},
      {"tls_ca", &Context::tls_ca, true, "whose certificates are believed; default: the system's"},
      {"tls_cert", &Context::tls_cert, true, "our own certificate"},
      {"tls_key", &Context::tls_key, true, "its key"},
      {"tls_name", &Context::tls_name, false,
       "the name in the host's certificate, if it is not the address's"},
      {"token_file", &Context::token_file, true, "what proves who we are"},
  };
  return kKeys;
}

Contexts::Contexts() {
  std::string base = fs::path(new_config_file()).parent_path().string();
  folder_ = base + "/contexts";
  current_file_ = base + "/context";
  tokens_folder_ = base + "/tokens";
}

std::string Contexts::file(const std::string& name) const { return folder_ + "/" + name + kSuffix; }

std::string Contexts::kept_token(const std::string& name) const {
  return folder_ + "/" + name + ".token";
}

std::string Contexts::kept_token_of_address(const std::string& address) const {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string name;
  for (char c : address) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.') {
      name += c;
    } else {
      name.append("%").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
    }
  }
  return tokens_folder_ + "/" + name + ".token";
}

std::vector<std::string> Contexts::names() const {
  std::vector<std::string> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    std::string name = entry.path().stem().string();
    if (entry.path().extension() == kSuffix && is_name(name)) found.push_back(name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

Result<Context> Contexts::get(const std::string& name) const {
  Status status = check_name(name);
  if (!status.ok()) return status;
  if (::access(file(name).c_str(), F_OK) != 0) {
    return Status(IMCTL_NOT_FOUND, "there is no context `" + name + "`" +
                                       did_you_mean(name, names()) + ": see `imctl context list`");
  }
  Result<SettingsFile> settings = read_settings_file(file(name));
  if (!settings.ok()) return settings.status();
  Context context;
  for (const SettingsFile::Entry& entry : settings->entries) {
    auto key = std::find_if(context_keys().begin(), context_keys().end(),
                            [&](const ContextKey& known) { return entry.key == known.key; });
    if (entry.section != kSection || key == context_keys().end()) {
      return Status(IMCTL_INVALID_ARGUMENT, file(name) + ":" + std::to_string(entry.line) +
                                                ": there is no setting `" + entry.key + "` in [" +
                                                entry.section + "] of a context");
    }
    context.*(key->member) = entry.text;
  }
  if (context.server.empty()) {
    return Status(IMCTL_INVALID_ARGUMENT, file(name) + ": [context] has no `server`");
  }
  return context;
}

Status Contexts::put(const std::string& name, const Context& context, bool replace) const {
  Status status = check_name(name);
  if (!status.ok()) return status;
  if (!replace && ::access(file(name).c_str(), F_OK) == 0) {
    return {IMCTL_ALREADY_EXISTS,
            "context `" + name + "` is there already: delete it first, or add --replace"};
  }
  Result<SettingsEdit> edit = SettingsEdit::open("", file(name));
  if (!edit.ok()) return edit.status();
  for (const ContextKey& key : context_keys()) {
    const std::string& value = context.*(key.member);
    if (value.empty()) continue;
    status = edit->set(kSection, key.key, value);
    if (!status.ok()) return {status.code(), std::string(key.key) + ": " + status.message()};
  }
  // A token of the host that it named before is none of this one's.
  (void)::unlink(kept_token(name).c_str());
  return write_file(file(name), edit->content());
}

Status Contexts::remove(const std::string& name) const {
  Result<Context> there = get(name);
  if (!there.ok() && there.status().code() != IMCTL_INVALID_ARGUMENT) return there.status();
  Status status = check_name(name);
  if (!status.ok()) return status;
  if (current() == name) {
    status = use("");
    if (!status.ok()) return status;
  }
  (void)::unlink(kept_token(name).c_str());
  if (::unlink(file(name).c_str()) == 0) return {};
  return {IMCTL_FAILED_PRECONDITION,
          "cannot remove " + file(name) + ": " + std::generic_category().message(errno)};
}

std::string Contexts::current() const {
  if (::access(current_file_.c_str(), R_OK) != 0) return {};
  Result<std::string> text = read_file(current_file_);
  if (!text.ok()) return {};
  std::string name = text->substr(0, text->find('\n'));
  return is_name(name) ? name : "";
}

Status Contexts::use(const std::string& name) const {
  if (!name.empty()) {
    Result<Context> there = get(name);
    if (!there.ok()) return there.status();
    return write_file(current_file_, name + "\n");
  }
  if (::unlink(current_file_.c_str()) == 0 || errno == ENOENT) return {};
  return {IMCTL_FAILED_PRECONDITION,
          "cannot remove " + current_file_ + ": " + std::generic_category().message(errno)};
}

}  // namespace imctl::host::cli
