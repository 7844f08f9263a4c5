// A config message's fields by name. The names are those of host.proto: a wrong one is a bug here.
#ifndef IMCTL_HOST_CORE_CONFIG_FIELDS_H
#define IMCTL_HOST_CORE_CONFIG_FIELDS_H

#include <google/protobuf/message.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace imctl::host {

class ConfigFields {
 public:
  explicit ConfigFields(const google::protobuf::Message& message)
      : message_(message), reflection_(*message.GetReflection()) {}

  std::string text(const char* name) const { return reflection_.GetString(message_, field(name)); }
  uint64_t u64(const char* name) const { return reflection_.GetUInt64(message_, field(name)); }
  uint32_t u32(const char* name) const { return reflection_.GetUInt32(message_, field(name)); }
  // Of a field declared `optional`: nothing if nobody said it.
  std::optional<bool> choice(const char* name) const {
    if (!reflection_.HasField(message_, field(name))) return std::nullopt;
    return reflection_.GetBool(message_, field(name));
  }
  std::vector<std::string> list(const char* name) const {
    std::vector<std::string> all;
    int size = reflection_.FieldSize(message_, field(name));
    all.reserve(static_cast<size_t>(size));
    for (int i = 0; i < size; ++i) {
      all.push_back(reflection_.GetRepeatedString(message_, field(name), i));
    }
    return all;
  }
  std::chrono::nanoseconds duration(const char* name) const {
    const google::protobuf::Message& value = reflection_.GetMessage(message_, field(name));
    const auto* type = value.GetDescriptor();
    return std::chrono::seconds(
               value.GetReflection()->GetInt64(value, type->FindFieldByNumber(1))) +
           std::chrono::nanoseconds(
               value.GetReflection()->GetInt32(value, type->FindFieldByNumber(2)));
  }

 private:
  const google::protobuf::FieldDescriptor* field(const char* name) const {
    return message_.GetDescriptor()->FindFieldByName(name);
  }
  const google::protobuf::Message& message_;
  const google::protobuf::Reflection& reflection_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_CONFIG_FIELDS_H
