#include "builtin/settings_service.h"

#include <google/protobuf/message.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/audit_request.h"
#include "core/host.h"
#include "core/settings_explain.h"
#include "core/settings_text.h"
#include "road/call.h"

namespace imctl::host {
namespace {

Author author(const Context& context, const std::string& why) {
  return {std::string(context.principal()), context.dry_run(), why, std::string(context.call_id())};
}

v1::Setting message_of(const SettingRow& row) {
  v1::Setting setting;
  setting.set_key(row.value.key);
  setting.set_value(row.value.text);
  setting.set_default_(row.value.default_text);
  setting.set_source(row.value.source);
  if (row.waiting) setting.set_waiting(row.waiting->after + " (" + row.waiting->how + ")");
  return setting;
}

Result<v1::ChangeSettingsResponse> message_of(const Result<SettingsAdmin::Changes>& changes) {
  if (!changes.ok()) return changes.status();
  v1::ChangeSettingsResponse reply;
  for (const SettingChange& change : *changes) {
    v1::SettingChange* one = reply.add_changes();
    one->set_key(change.key);
    one->set_before(change.before);
    one->set_after(change.after);
    one->set_state(change.state);
    one->set_how(change.how);
    one->set_source(change.source);
  }
  return reply;
}

}  // namespace

SettingsService::SettingsService(Module& module, Host& host) : host_(host) {
  module.serve("/imctl.host.v1.Settings/List", this, &SettingsService::list);
  module.serve("/imctl.host.v1.Settings/Get", this, &SettingsService::get);
  module.serve("/imctl.host.v1.Settings/Set", this, &SettingsService::set);
  module.serve("/imctl.host.v1.Settings/Unset", this, &SettingsService::unset);
  module.serve("/imctl.host.v1.Settings/Explain", this, &SettingsService::explain);
  module.serve("/imctl.host.v1.Settings/Validate", this, &SettingsService::validate);
  module.serve("/imctl.host.v1.Settings/Diff", this, &SettingsService::diff);
  module.serve("/imctl.host.v1.Settings/Reload", this, &SettingsService::reload);
  module.serve("/imctl.host.v1.Settings/History", this, &SettingsService::history);
  module.serve("/imctl.host.v1.Settings/Rollback", this, &SettingsService::rollback);
  module.serve("/imctl.host.v1.Secrets/List", this, &SettingsService::secrets);
  host.audit_requests().hide("/imctl.host.v1.Settings/Set",
                             [this](google::protobuf::Message* request) { hide_values(request); });
}

// A secret that was given where others could see it is not to stay in the audit log too. Who knows
// what stands there for a setting that nobody knows?
void SettingsService::hide_values(google::protobuf::Message* request) const {
  const google::protobuf::Descriptor* type = request->GetDescriptor();
  const google::protobuf::Reflection* reflection = request->GetReflection();
  const std::string key = reflection->GetString(*request, type->FindFieldByName("key"));
  const std::optional<SettingValue> now = host_.settings_admin().find(key);
  const google::protobuf::FieldDescriptor* values = type->FindFieldByName("values");
  if (now && !now->secret) {
    // A URI may have a password in it.
    for (int i = 0; i < reflection->FieldSize(*request, values); ++i) {
      reflection->SetRepeatedString(
          request, values, i, mask_password(reflection->GetRepeatedString(*request, values, i)));
    }
    return;
  }
  if (reflection->FieldSize(*request, values) == 0) return;
  reflection->ClearField(request, values);
  reflection->AddString(request, values, "(not shown)");
}

Result<v1::ListSecretsResponse> SettingsService::secrets(const v1::ListSecretsRequest& /*request*/,
                                                         const Context& context) {
  const CallParams& params = Call::from(context.call())->params();
  const bool may = params.principal_kind == IMCTL_PRINCIPAL_MODULE && params.caller != nullptr &&
                   params.parent == nullptr && params.node.empty() &&
                   !params.caller->description().isolated;
  Status status;
  if (!may) {
    status = Status(IMCTL_PERMISSION_DENIED,
                    "secrets of the settings are for modules in the host's process that act as "
                    "themselves, and for nobody else");
  }
  AuditRecord record =
      audit_record(may ? AuditRecord::kCall : AuditRecord::kRefusal, params, status);
  if (!may) {
    host_.audit().refuse(std::move(record));
    return status;
  }
  host_.audit().add(std::move(record));
  v1::ListSecretsResponse reply;
  for (const SettingValue& value : host_.settings_admin().hidden()) {
    v1::SecretSetting* secret = reply.add_secrets();
    secret->set_key(value.key);
    secret->set_value(value.hidden);
  }
  return reply;
}

Result<v1::ListSettingsResponse> SettingsService::list(const v1::ListSettingsRequest& request,
                                                       const Context&) {
  SettingsView view = host_.settings_admin().list(request.prefix());
  v1::ListSettingsResponse reply;
  for (const SettingRow& row : view.rows) *reply.add_settings() = message_of(row);
  reply.set_problem(view.problem);
  return reply;
}

Result<v1::Setting> SettingsService::get(const v1::GetSettingRequest& request, const Context&) {
  Result<SettingRow> row = host_.settings_admin().get(request.key());
  if (!row.ok()) return row.status();
  return message_of(*row);
}

Result<v1::ChangeSettingsResponse> SettingsService::set(const v1::SetSettingRequest& request,
                                                        const Context& context) {
  std::vector<std::string> values(request.values().begin(), request.values().end());
  if (values.empty() == request.secret().empty()) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  request.key() +
                      ": which value? Give it after the key, or, if it is a secret, "
                      "with --secret (asks), --secret=@FILE or --secret=-");
  }
  std::optional<SettingValue> now = host_.settings_admin().find(request.key());
  if (!values.empty() && now && now->secret) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  request.key() +
                      " is a secret, which others could see on the command line: give "
                      "it with --secret (asks), --secret=@FILE or --secret=-");
  }
  if (values.empty()) values.push_back(request.secret());
  return message_of(
      host_.settings_admin().set(request.key(), values, author(context, request.why())));
}

Result<v1::ChangeSettingsResponse> SettingsService::unset(const v1::UnsetSettingRequest& request,
                                                          const Context& context) {
  return message_of(host_.settings_admin().unset(request.key(), author(context, request.why())));
}

Result<v1::ExplainSettingResponse> SettingsService::explain(
    const v1::ExplainSettingRequest& request, const Context&) {
  Result<std::vector<SettingExplanation>> all = explain_settings(host_, request.key());
  if (!all.ok()) return all.status();
  v1::ExplainSettingResponse reply;
  for (const SettingExplanation& one : *all) {
    v1::SettingExplanation* setting = reply.add_settings();
    setting->set_key(one.key);
    setting->set_type(one.type);
    setting->set_default_(one.default_text);
    setting->set_bounds(one.bounds);
    setting->set_live(one.live);
    setting->set_secret(one.secret);
    setting->set_required(one.required);
    for (const std::string& variable : one.env) setting->add_env(variable);
    setting->set_help(one.help);
  }
  return reply;
}

Result<v1::ChangeSettingsResponse> SettingsService::validate(
    const v1::ValidateSettingsRequest& request, const Context&) {
  return message_of(host_.settings_admin().validate(request.file()));
}

Result<v1::ChangeSettingsResponse> SettingsService::diff(const v1::DiffSettingsRequest& request,
                                                         const Context&) {
  std::optional<std::string> file;
  if (request.has_file()) file = request.file();
  return message_of(host_.settings_admin().diff(file));
}

Result<v1::ChangeSettingsResponse> SettingsService::reload(const v1::ReloadSettingsRequest& request,
                                                           const Context& context) {
  return message_of(host_.settings_admin().reload(author(context, request.why())));
}

Result<v1::SettingsHistoryResponse> SettingsService::history(const v1::SettingsHistoryRequest&,
                                                             const Context&) {
  v1::SettingsHistoryResponse reply;
  for (const host::SettingsChange& change : host_.settings().history()) {
    v1::SettingsFileChange* one = reply.add_changes();
    one->set_number(change.number);
    auto since = change.time.time_since_epoch();
    auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    one->mutable_time()->set_seconds(seconds.count());
    one->mutable_time()->set_nanos(static_cast<int32_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds).count()));
    one->set_who(change.who);
    one->set_why(change.who.empty() ? "found in the file" : change.why);
  }
  return reply;
}

Result<v1::ChangeSettingsResponse> SettingsService::rollback(
    const v1::RollbackSettingsRequest& request, const Context& context) {
  return message_of(
      host_.settings_admin().rollback(request.number(), author(context, request.why())));
}

}  // namespace imctl::host
