// How things end: gRPC's codes with a message that names the thing and the remedy.
#ifndef IMCTL_STATUS_H
#define IMCTL_STATUS_H

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "imctl/module.h"

namespace imctl {

inline imctl_str to_str(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view to_view(imctl_str text) {
  return text.data == nullptr ? std::string_view() : std::string_view(text.data, text.size);
}

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK
  Status(imctl_code code, std::string message, std::string details = {})
      : code_(code), message_(std::move(message)), details_(std::move(details)) {}
  explicit Status(const imctl_status* status) {
    if (status == nullptr) return;
    code_ = static_cast<imctl_code>(status->code);
    message_ = to_view(status->message);
    details_ = to_view(status->details);
  }

  bool ok() const { return code_ == IMCTL_OK; }
  imctl_code code() const { return code_; }
  const std::string& message() const { return message_; }
  // A serialized google.rpc.Status, or empty.
  const std::string& details() const { return details_; }

  // A view for the ABI; valid as long as this object is.
  imctl_status raw() const {
    return {sizeof(imctl_status), code_, to_str(message_), to_str(details_)};
  }

  // Fills a lifecycle function's error and gives the code that it returns.
  int32_t fill(imctl_error* error) const {
    if (!ok() && error != nullptr && IMCTL_HAS(error, message)) {
      error->code = code_;
      size_t n = message_.copy(error->message, sizeof(error->message) - 1);
      error->message[n] = '\0';
    }
    return code_;
  }

 private:
  imctl_code code_ = IMCTL_OK;
  std::string message_;
  std::string details_;
};

// A value or why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT: meant to convert
  Result(Status status) : status_(std::move(status)) {  // NOLINT: meant to convert
    if (status_.ok()) status_ = Status(IMCTL_INTERNAL, "neither a value nor an error");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace imctl

#endif  // IMCTL_STATUS_H
