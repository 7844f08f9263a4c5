#include "import_line.h"

#include <algorithm>
#include <array>
#include <utility>

#include "address.h"
#include "text.h"

namespace imctl::user {
namespace {

using google::protobuf::RepeatedPtrField;

constexpr std::string_view kAttribute = "attributes.";
constexpr std::array<std::string_view, 10> kColumns = {
    "user",     "display_name", "roles",         "state",       "reason",
    "password", "argon2id",     "scram_sha_256", "scram_sha_1", "created"};

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

bool same_scram(const std::optional<ScramParts>& wanted, const std::optional<ScramParts>& kept) {
  if (!wanted) return true;
  return kept && wanted->iterations == kept->iterations && wanted->salt == kept->salt &&
         wanted->stored_key == kept->stored_key && wanted->server_key == kept->server_key;
}

void set_column(const std::string& name, const std::string& value, v1::ImportLine* line) {
  if (value.empty()) return;
  if (name == "user") line->set_user(value);
  if (name == "display_name") line->set_display_name(value);
  if (name == "state") line->set_state(value);
  if (name == "reason") line->set_reason(value);
  if (name == "password") line->set_password(value);
  if (name == "argon2id") line->set_argon2id(value);
  if (name == "scram_sha_256") line->set_scram_sha_256(value);
  if (name == "scram_sha_1") line->set_scram_sha_1(value);
  if (name == "created") line->set_created(value);
  if (name.compare(0, kAttribute.size(), kAttribute) == 0) {
    (*line->mutable_attributes())[name.substr(kAttribute.size())] = value;
  }
  if (name != "roles") return;
  for (size_t at = 0; at < value.size();) {
    const size_t end = std::min(value.find(' ', at), value.size());
    if (end > at) line->add_roles(value.substr(at, end - at));
    at = end + 1;
  }
}

}  // namespace

Status ImportColumns::read(const std::vector<std::string>& names) {
  names_.clear();
  for (std::string name : names) {
    // Spreadsheets put a mark there.
    if (names_.empty() && name.rfind("\xEF\xBB\xBF", 0) == 0) name.erase(0, 3);
    const bool known = std::find(kColumns.begin(), kColumns.end(), name) != kColumns.end() ||
                       (name.rfind(kAttribute, 0) == 0 &&
                        check_name("", name.substr(kAttribute.size()), kMaxAttributeName).ok());
    if (!known) {
      std::string all;
      for (std::string_view column : kColumns) all += std::string(column) + ", ";
      return bad("column " + quoted(name) + " is unknown: the first line names the columns, " +
                 all + "attributes.NAME");
    }
    if (std::find(names_.begin(), names_.end(), name) != names_.end()) {
      return bad("column " + quoted(name) + " is there twice");
    }
    names_.push_back(std::move(name));
  }
  if (std::find(names_.begin(), names_.end(), "user") == names_.end()) {
    return bad("there is no column user: the first line names the columns");
  }
  return {};
}

Result<v1::ImportLine> ImportColumns::line(const std::vector<std::string>& fields) const {
  if (fields.size() != names_.size()) {
    return bad("it has " + std::to_string(fields.size()) + " fields and not " +
               std::to_string(names_.size()));
  }
  v1::ImportLine line;
  for (size_t i = 0; i < fields.size(); ++i) set_column(names_[i], fields[i], &line);
  return line;
}

Result<ImportedUser> ImportedUser::check(v1::ImportLine line, const std::string& domain,
                                         const PasswordSettings& settings) {
  ImportedUser made;
  Result<std::string> address = normalise_address(line.user(), domain);
  if (!address.ok()) return address.status();
  made.address = *address;
  if (!line.state().empty() && line.state() != "active" && line.state() != "disabled") {
    return bad("state: active or disabled, not " + quoted(line.state()));
  }
  if (!line.password().empty()) {
    if (!line.argon2id().empty() || !line.scram_sha_256().empty() || !line.scram_sha_1().empty()) {
      return bad("a password, or what is made of one, not both");
    }
    Result<std::string> prepared = prepare_new_password(line.password(), settings);
    if (!prepared.ok()) return prepared.status();
    made.password = std::move(*prepared);
  }
  if (!line.argon2id().empty()) {
    if (Status status = check_argon2id(line.argon2id()); !status.ok()) return status;
    made.credentials.argon2id = line.argon2id();
  }
  if (!line.scram_sha_256().empty()) {
    Result<ScramParts> parts = parse_scram(ScramHash::kSha256, line.scram_sha_256());
    if (!parts.ok()) return parts.status();
    made.credentials.scram_sha_256 = std::move(*parts);
  }
  if (!line.scram_sha_1().empty()) {
    Result<ScramParts> parts = parse_scram(ScramHash::kSha1, line.scram_sha_1());
    if (!parts.ok()) return parts.status();
    made.credentials.scram_sha_1 = std::move(*parts);
  }
  if (!line.created().empty() && !parse_time(line.created())) {
    return bad("created: write it as 2024-02-29T12:00:00Z");
  }
  made.line = std::move(line);
  StoredUser user;
  if (Status status = made.apply("", 1, &user); !status.ok()) return status;
  return made;
}

Status ImportedUser::apply(const std::string& by, int64_t now, StoredUser* user) const {
  if (!line.display_name().empty()) user->set_display_name(line.display_name());
  for (const auto& [name, value] : line.attributes()) (*user->mutable_attributes())[name] = value;
  if (!line.roles().empty()) {
    RepeatedPtrField<std::string> roles;
    for (const std::string& role : line.roles()) {
      if (std::find(roles.begin(), roles.end(), role) == roles.end()) *roles.Add() = role;
    }
    *user->mutable_roles() = roles;
  }
  if (!line.created().empty()) user->set_created(*parse_time(line.created()));
  if (line.state() == "active") enable(user);
  if (line.state() == "disabled" && !user->disabled()) {
    user->set_disabled(true);
    user->set_disabled_by(by);
    user->set_disabled_at(now);
  }
  if (!line.reason().empty() && user->disabled()) user->set_disabled_reason(line.reason());
  return check_profile(*user);
}

bool ImportedUser::has_same(const Credentials& kept) const {
  return (credentials.argon2id.empty() || credentials.argon2id == kept.argon2id) &&
         same_scram(credentials.scram_sha_256, kept.scram_sha_256) &&
         same_scram(credentials.scram_sha_1, kept.scram_sha_1);
}

v1::ImportLine to_line(const StoredUser& user, const Credentials& credentials, int64_t now) {
  v1::ImportLine line;
  line.set_user(user.address());
  line.set_display_name(user.display_name());
  *line.mutable_attributes() = user.attributes();
  *line.mutable_roles() = user.roles();
  line.set_state(is_disabled(user, now) ? "disabled" : "active");
  if (is_disabled(user, now)) line.set_reason(user.disabled_reason());
  line.set_argon2id(credentials.argon2id);
  if (credentials.scram_sha_256) line.set_scram_sha_256(format_scram(*credentials.scram_sha_256));
  if (credentials.scram_sha_1) line.set_scram_sha_1(format_scram(*credentials.scram_sha_1));
  if (user.created() > 0) line.set_created(format_time(user.created()));
  return line;
}

}  // namespace imctl::user
