// What the audit log says of a call: who, from where, what.
#ifndef IMCTL_HOST_CORE_AUDIT_REQUEST_H
#define IMCTL_HOST_CORE_AUDIT_REQUEST_H

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/audit_record.h"
#include "imctl/status.h"
#include "road/call.h"
#include "road/method_table.h"

namespace imctl::host {

// Everything but what was asked for.
AuditRecord audit_record(const char* kind, const CallParams& params, const Status& status);

// Requests as text without what is secret.
class AuditRequests {
 public:
  // About so many characters of a request are kept.
  static constexpr size_t kMost = 1024;

  // Hides what in a request is secret though its field is not declared so.
  using Hide = std::function<void(google::protobuf::Message*)>;
  // Before the first call.
  void hide(const std::string& method, Hide hide) { hide_[method] = std::move(hide); }

  // As a JSON object, without secret fields, with the size of what is bytes. [any]
  std::string text(const Route& route, std::string_view request) const;

 private:
  std::map<std::string, Hide, std::less<>> hide_;  // by "/package.Service/Method"
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_AUDIT_REQUEST_H
