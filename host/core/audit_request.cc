#include "core/audit_request.h"

#include <chrono>
#include <memory>

#include "core/description.h"
#include "core/tree.h"
#include "road/code_name.h"
#include "road/principal_kind.h"

namespace imctl::host {

AuditRecord audit_record(const char* kind, const CallParams& params, const Status& status) {
  AuditRecord record;
  record.time = std::chrono::system_clock::now();
  record.kind = kind;
  record.user = params.principal;
  record.user_kind = principal_kind_name(params.principal_kind);
  record.from = params.peer;
  record.method = params.target->name().substr(1);
  record.code = code_name(status.code());
  record.message = status.message();
  record.call_id = params.call_id;
  return record;
}

std::string AuditRequests::text(const Route& route, std::string_view request) const {
  const MethodInfo& method = route.served->info;
  if (method.descriptor == nullptr) return {};
  const Descriptors& descriptors = *route.instance->description().descriptors;
  std::unique_ptr<google::protobuf::Message> message =
      descriptors.make_message(method.descriptor->input_type());
  // What is no message was refused by whoever serves it, and says nothing.
  if (!message->ParseFromArray(request.data(), static_cast<int>(request.size()))) return {};
  auto hide = hide_.find(method.name);
  if (hide != hide_.end()) hide->second(message.get());
  const Tree tree = to_tree(*message, {false, false, kMost});
  if (tree.items.empty() || tree.kind != Tree::Kind::kObject) return {};
  return to_json(tree, false);
}

}  // namespace imctl::host
