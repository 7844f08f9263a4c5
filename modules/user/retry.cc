#include "retry.h"

#include <utility>

#include "imctl/user/internal/stored.pb.h"

namespace imctl::user {

Status retry_later(std::string message, std::chrono::milliseconds delay) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(delay);
  internal::RpcRetryInfo info;
  info.mutable_retry_delay()->set_seconds(seconds.count());
  info.mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(std::chrono::nanoseconds(delay - seconds).count()));
  internal::RpcStatus status;
  status.set_code(IMCTL_RESOURCE_EXHAUSTED);
  status.set_message(message);
  google::protobuf::Any* detail = status.add_details();
  detail->set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  detail->set_value(info.SerializeAsString());
  return {IMCTL_RESOURCE_EXHAUSTED, std::move(message), status.SerializeAsString()};
}

}  // namespace imctl::user
