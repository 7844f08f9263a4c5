#include "cli/field_value.h"

#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>
#include <optional>
#include <system_error>
#include <vector>

#include "cli/suggest.h"
#include "cli/text.h"
#include "core/utf8.h"
#include "core/value_format.h"
#include "imctl/options.pb.h"

namespace imctl::host::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

Status bad(const std::string& text, const std::string& why) {
  return {IMCTL_INVALID_ARGUMENT, "'" + clean_line(text) + "' " + why};
}

// One function for the two of reflection, of singular fields and of lists.
template <class T>
void put(Message* message, const FieldDescriptor* field,
         void (Reflection::*set)(Message*, const FieldDescriptor*, T) const,
         void (Reflection::*add)(Message*, const FieldDescriptor*, T) const, T value) {
  (message->GetReflection()->*(field->is_repeated() ? add : set))(message, field, std::move(value));
}

template <class T>
Status put_int(Message* message, const FieldDescriptor* field, const std::string& text,
               void (Reflection::*set)(Message*, const FieldDescriptor*, T) const,
               void (Reflection::*add)(Message*, const FieldDescriptor*, T) const) {
  using Limits = std::numeric_limits<T>;
  using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
  std::optional<Wide> number;
  if constexpr (std::is_signed_v<T>) {
    number = parse_int(text);
  } else {
    number = parse_uint(text);
  }
  if (!number && is_size(field)) {
    std::optional<uint64_t> size = parse_bytes(text);
    if (size && *size <= static_cast<uint64_t>(std::numeric_limits<Wide>::max())) {
      number = static_cast<Wide>(*size);
    }
    if (!number) return bad(text, "is not a size: write it like 4096, 64KiB or 1GB");
  }
  if (!number || *number < Limits::min() || *number > Limits::max()) {
    return bad(text, "is not a whole number from " + std::to_string(Limits::min()) + " to " +
                         std::to_string(Limits::max()));
  }
  put<T>(message, field, set, add, static_cast<T>(*number));
  return {};
}

// "ACCESS_" of ACCESS_ADMIN, ACCESS_USER: what all names of the enum share, up to a '_'.
std::string common_prefix(const google::protobuf::EnumDescriptor* type) {
  std::string prefix = type->value(0)->name();
  for (int i = 1; i < type->value_count(); ++i) {
    const std::string& name = type->value(i)->name();
    size_t n = 0;
    while (n < prefix.size() && n < name.size() && prefix[n] == name[n]) ++n;
    prefix.resize(n);
  }
  if (type->value_count() < 2) return {};
  size_t underscore = prefix.rfind('_');
  return underscore == std::string::npos ? "" : prefix.substr(0, underscore + 1);
}

}  // namespace

std::string choice_name(const EnumValueDescriptor* value) {
  return dashed(lower(value->name().substr(common_prefix(value->type()).size())));
}

namespace {

std::vector<std::string> short_names(const google::protobuf::EnumDescriptor* type) {
  std::vector<std::string> names;
  names.reserve(static_cast<size_t>(type->value_count()));
  for (int i = 0; i < type->value_count(); ++i) names.push_back(choice_name(type->value(i)));
  return names;
}

Status put_enum(Message* message, const FieldDescriptor* field, const std::string& text) {
  for (int i = 0; i < field->enum_type()->value_count(); ++i) {
    const EnumValueDescriptor* value = field->enum_type()->value(i);
    std::string typed = dashed(lower(text));
    if (typed == choice_name(value) || typed == dashed(lower(value->name()))) {
      put<const EnumValueDescriptor*>(message, field, &Reflection::SetEnum, &Reflection::AddEnum,
                                      value);
      return {};
    }
  }
  std::vector<std::string> names = short_names(field->enum_type());
  return bad(text, "is none of " + join(names, ", ") + did_you_mean(lower(text), names));
}

Message* sub_message(Message* message, const FieldDescriptor* field) {
  const Reflection* reflection = message->GetReflection();
  return field->is_repeated() ? reflection->AddMessage(message, field)
                              : reflection->MutableMessage(message, field);
}

// seconds = 1, nanos = 2, in both types.
void put_seconds(Message* to, int64_t seconds, int32_t nanos) {
  const Descriptor* type = to->GetDescriptor();
  to->GetReflection()->SetInt64(to, type->FindFieldByNumber(1), seconds);
  to->GetReflection()->SetInt32(to, type->FindFieldByNumber(2), nanos);
}

Status put_map_entry(Message* message, const FieldDescriptor* field, const std::string& text) {
  size_t equals = text.find('=');
  if (equals == std::string::npos) return bad(text, "is not of the form KEY=VALUE");
  const Descriptor* type = field->message_type();
  const Reflection* reflection = message->GetReflection();
  Message* entry = reflection->AddMessage(message, field);
  Status status = set_field(entry, type->map_key(), text.substr(0, equals));
  if (status.ok()) status = set_field(entry, type->map_value(), text.substr(equals + 1));
  return status;
}

Status put_json(Message* to, const std::string& text) {
  google::protobuf::util::JsonParseOptions options;
  auto status = google::protobuf::util::JsonStringToMessage(text, to, options);
  if (status.ok()) return {};
  return bad(text, "is not JSON that fits " + to->GetDescriptor()->full_name() + ": " +
                       clean_line(std::string(status.message())));
}

Status put_message(Message* message, const FieldDescriptor* field, const std::string& text) {
  if (field->is_map()) return put_map_entry(message, field, text);
  const Descriptor* type = field->message_type();
  switch (type->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_DURATION: {
      bool negative = text.starts_with('-');
      std::optional<int64_t> parsed = parse_duration(negative ? text.substr(1) : text);
      if (!parsed) return bad(text, "is not a duration: write it like 90s, 1.5h, 1h30m or 7d");
      int64_t nanos = negative ? -*parsed : *parsed;
      put_seconds(sub_message(message, field), nanos / 1000000000,
                  static_cast<int32_t>(nanos % 1000000000));
      return {};
    }
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP: {
      google::protobuf::Timestamp time;
      if (!google::protobuf::util::TimeUtil::FromString(text, &time)) {
        return bad(text, "is not a time: write it like 2024-02-29T12:00:00Z");
      }
      put_seconds(sub_message(message, field), time.seconds(), time.nanos());
      return {};
    }
    case Descriptor::WELLKNOWNTYPE_DOUBLEVALUE:
    case Descriptor::WELLKNOWNTYPE_FLOATVALUE:
    case Descriptor::WELLKNOWNTYPE_INT64VALUE:
    case Descriptor::WELLKNOWNTYPE_UINT64VALUE:
    case Descriptor::WELLKNOWNTYPE_INT32VALUE:
    case Descriptor::WELLKNOWNTYPE_UINT32VALUE:
    case Descriptor::WELLKNOWNTYPE_STRINGVALUE:
    case Descriptor::WELLKNOWNTYPE_BYTESVALUE:
    case Descriptor::WELLKNOWNTYPE_BOOLVALUE:
      return set_field(sub_message(message, field), type->FindFieldByNumber(1), text);
    default: return put_json(sub_message(message, field), text);
  }
}

Status put_bytes(Message* message, const FieldDescriptor* field, const std::string& text) {
  std::string value = text;
  if (is_file(field)) {
    // The "@" of other fields does no harm here.
    Result<std::string> content = read_file(text.starts_with('@') ? text.substr(1) : text);
    if (!content.ok()) return content.status();
    value = std::move(*content);
  }
  put<std::string>(message, field, &Reflection::SetString, &Reflection::AddString,
                   std::move(value));
  return {};
}

}  // namespace

bool is_lines(const FieldDescriptor* field) { return options_of(field).lines(); }
bool is_size(const FieldDescriptor* field) { return options_of(field).unit() == imctl::UNIT_BYTES; }

std::string names_kind(const FieldDescriptor* field) { return options_of(field).names(); }

bool takes_no_value(const FieldDescriptor* field) {
  return is_secret(field) || (!field->is_map() && value_name(field) == "BOOL");
}

std::vector<std::string> choices(const FieldDescriptor* field) {
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) return short_names(field->enum_type());
  if (!field->is_map() && value_name(field) == "BOOL") return {"true", "false"};
  return {};
}

Result<std::string> read_file(const std::string& path) {
  int fd = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string content;
  ssize_t n = fd < 0 ? -1 : 0;
  std::array<char, 65536> chunk{};
  while (fd >= 0) {
    n = ::read(fd, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    content.append(chunk.data(), static_cast<size_t>(n));
  }
  int error = errno;
  if (fd > STDIN_FILENO) ::close(fd);
  if (n < 0) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "cannot read " + path + ": " + std::generic_category().message(error));
  }
  return content;
}

Status set_field(Message* message, const FieldDescriptor* field, const std::string& text) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return put_int<int32_t>(message, field, text, &Reflection::SetInt32, &Reflection::AddInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return put_int<int64_t>(message, field, text, &Reflection::SetInt64, &Reflection::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return put_int<uint32_t>(message, field, text, &Reflection::SetUInt32,
                               &Reflection::AddUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return put_int<uint64_t>(message, field, text, &Reflection::SetUInt64,
                               &Reflection::AddUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: {
      std::optional<double> number = parse_double(text);
      if (!number) return bad(text, "is not a number");
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
        put<double>(message, field, &Reflection::SetDouble, &Reflection::AddDouble, *number);
      } else {
        put<float>(message, field, &Reflection::SetFloat, &Reflection::AddFloat,
                   static_cast<float>(*number));
      }
      return {};
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      std::optional<bool> value = parse_bool(text);
      if (!value) return bad(text, "is neither true nor false");
      put<bool>(message, field, &Reflection::SetBool, &Reflection::AddBool, *value);
      return {};
    }
    case FieldDescriptor::CPPTYPE_ENUM: return put_enum(message, field, text);
    case FieldDescriptor::CPPTYPE_STRING:
      if (field->type() == FieldDescriptor::TYPE_BYTES) return put_bytes(message, field, text);
      if (!is_utf8(text)) return bad(text, "is not UTF-8");
      put<std::string>(message, field, &Reflection::SetString, &Reflection::AddString, text);
      return {};
    case FieldDescriptor::CPPTYPE_MESSAGE: return put_message(message, field, text);
  }
  return bad(text, "cannot be given on the command line: use -f");
}

std::string value_name(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: return "BOOL";
    case FieldDescriptor::CPPTYPE_ENUM: return join(short_names(field->enum_type()), "|");
    case FieldDescriptor::CPPTYPE_STRING:
      if (field->type() != FieldDescriptor::TYPE_BYTES) return "TEXT";
      return is_file(field) ? "FILE" : "TEXT";
    case FieldDescriptor::CPPTYPE_MESSAGE: break;
    default: return is_size(field) ? "SIZE" : "N";
  }
  if (field->is_map()) return "KEY=" + value_name(field->message_type()->map_value());
  switch (field->message_type()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_DURATION: return "DURATION";
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP: return "TIME";
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED:
    case Descriptor::WELLKNOWNTYPE_ANY:
    case Descriptor::WELLKNOWNTYPE_FIELDMASK:
    case Descriptor::WELLKNOWNTYPE_VALUE:
    case Descriptor::WELLKNOWNTYPE_LISTVALUE:
    case Descriptor::WELLKNOWNTYPE_STRUCT: return "JSON";
    default: return value_name(field->message_type()->FindFieldByNumber(1));
  }
}

}  // namespace imctl::host::cli
