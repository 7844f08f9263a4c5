// imctl.host.v1.Settings.
#ifndef IMCTL_HOST_BUILTIN_SETTINGS_SERVICE_H
#define IMCTL_HOST_BUILTIN_SETTINGS_SERVICE_H

#include "core/settings_admin.h"
#include "imctl/host/v1/settings.pb.h"
#include "imctl/sdk.h"

namespace google::protobuf {
class Message;
}

namespace imctl::host {

class Host;

class SettingsService {
 public:
  SettingsService(Module& module, Host& host);

 private:
  Result<v1::ListSettingsResponse> list(const v1::ListSettingsRequest& request, const Context&);
  Result<v1::Setting> get(const v1::GetSettingRequest& request, const Context&);
  Result<v1::ChangeSettingsResponse> set(const v1::SetSettingRequest& request,
                                         const Context& context);
  Result<v1::ChangeSettingsResponse> unset(const v1::UnsetSettingRequest& request,
                                           const Context& context);
  Result<v1::ExplainSettingResponse> explain(const v1::ExplainSettingRequest& request,
                                             const Context&);
  Result<v1::ChangeSettingsResponse> validate(const v1::ValidateSettingsRequest& request,
                                              const Context&);
  Result<v1::ChangeSettingsResponse> diff(const v1::DiffSettingsRequest& request, const Context&);
  Result<v1::ChangeSettingsResponse> reload(const v1::ReloadSettingsRequest& request,
                                            const Context& context);
  Result<v1::SettingsHistoryResponse> history(const v1::SettingsHistoryRequest&, const Context&);
  Result<v1::ChangeSettingsResponse> rollback(const v1::RollbackSettingsRequest& request,
                                              const Context& context);
  Result<v1::ListSecretsResponse> secrets(const v1::ListSecretsRequest&, const Context& context);

  void hide_values(google::protobuf::Message* request) const;

  Host& host_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_SETTINGS_SERVICE_H
