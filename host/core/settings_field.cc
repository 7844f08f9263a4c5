#include "core/settings_field.h"

#include <algorithm>
#include <cfloat>
#include <limits>
#include <memory>
#include <optional>
#include <regex>

#include "core/settings_text.h"
#include "core/utf8.h"
#include "core/value_format.h"

namespace imctl::host {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

static_assert(LDBL_MANT_DIG >= 64, "SettingField::Scalar holds 64-bit integers in a long double");

constexpr int64_t kSecond = 1'000'000'000;
// std::regex recurses once a character.
constexpr size_t kLongestMatched = 4096;

bool is_duration(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field->message_type()->full_name() == "google.protobuf.Duration";
}

// The enum's name as the prefix of its values: "SyncMode" -> "SYNC_MODE_".
std::string value_prefix(const EnumDescriptor* type) {
  std::string prefix;
  for (char c : type->name()) {
    bool upper = c >= 'A' && c <= 'Z';
    if (upper && !prefix.empty()) prefix += '_';
    prefix += upper || c == '_' || (c >= '0' && c <= '9') ? c : static_cast<char>(c - 'a' + 'A');
  }
  return prefix + "_";
}

// How a value is written in a config: SYNC_MODE_FULL is "full".
std::string short_name(const EnumValueDescriptor* value) {
  std::string name = value->name();
  std::string prefix = value_prefix(value->type());
  if (name.compare(0, prefix.size(), prefix) == 0) name.erase(0, prefix.size());
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return name;
}

Status bad(const std::string& why) { return {IMCTL_INVALID_ARGUMENT, why}; }

}  // namespace

SettingField::SettingField(const FieldDescriptor* field)
    : field_(field), options_(field->options().GetExtension(imctl::setting)) {}

std::string SettingField::choice_name(const EnumValueDescriptor* value) {
  return short_name(value);
}

Result<SettingField> SettingField::make(const FieldDescriptor* field) {
  bool message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !is_duration(field);
  if (message || field->type() == FieldDescriptor::TYPE_BYTES || field->real_containing_oneof()) {
    return Status(IMCTL_FAILED_PRECONDITION,
                  field->full_name() +
                      " cannot be a setting: settings are strings, bools, numbers, enums, "
                      "google.protobuf.Duration and lists of these; the module must be changed");
  }
  return SettingField(field);
}

bool SettingField::serves(std::string_view text) const {
  const auto& schemes = options_.schemes();
  return schemes.empty() ||
         std::find(schemes.begin(), schemes.end(), scheme_of(text)) != schemes.end();
}

std::string SettingField::value_of(const Message& message) const {
  std::unique_ptr<Message> only(message.New());
  only->CopyFrom(message);
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field != field_) reflection.ClearField(only.get(), field);
  }
  return only->SerializeAsString();
}

std::string SettingField::printable(std::string_view text) const {
  if (options_.secret()) return text.empty() ? "" : "***";
  return field_->cpp_type() == FieldDescriptor::CPPTYPE_STRING ? mask_password(text)
                                                               : std::string(text);
}

std::string SettingField::printable_default() const {
  if (!options_.default_().empty() || is_list()) return printable(options_.default_());
  if (field_->has_optional_keyword()) return "";  // nobody says anything
  if (is_duration(field_)) return "0s";
  switch (field_->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: return "";
    case FieldDescriptor::CPPTYPE_BOOL: return "false";
    case FieldDescriptor::CPPTYPE_ENUM: return short_name(field_->default_value_enum());
    default: return "0";
  }
}

Status SettingField::refuse(std::string_view text, const std::string& why) const {
  if (options_.secret()) return bad("is not valid: " + why);
  return bad("is `" + printable(text) + "`: " + why);
}

Result<SettingField::Scalar> SettingField::parse_enum(std::string_view text) const {
  const EnumDescriptor* type = field_->enum_type();
  std::vector<std::string> names;
  for (int i = 0; i < type->value_count(); ++i) {
    const EnumValueDescriptor* value = type->value(i);
    names.push_back(short_name(value));
    if (text == value->name() || text == names.back())
      return Scalar{.number = static_cast<long double>(value->number())};
  }
  return refuse(text, "must be one of " + join(names, ", "));
}

Result<SettingField::Scalar> SettingField::parse_number(std::string_view text) const {
  long double low = 0;
  long double high = 0;
  std::string what;
  switch (field_->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      low = std::numeric_limits<int32_t>::min();
      high = std::numeric_limits<int32_t>::max();
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      low = std::numeric_limits<int64_t>::min();
      high = std::numeric_limits<int64_t>::max();
      break;
    case FieldDescriptor::CPPTYPE_UINT32: high = std::numeric_limits<uint32_t>::max(); break;
    case FieldDescriptor::CPPTYPE_UINT64: high = std::numeric_limits<uint64_t>::max(); break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      low = std::numeric_limits<float>::lowest();
      high = std::numeric_limits<float>::max();
      break;
    default:
      low = std::numeric_limits<double>::lowest();
      high = std::numeric_limits<double>::max();
      break;
  }
  bool real = field_->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT ||
              field_->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;

  std::optional<long double> number;
  if (real) {
    number = parse_double(text);
    what = "a number, like 0.5";
  } else if (options_.unit() == imctl::UNIT_BYTES) {
    number = parse_bytes(text);
    what = "a size, like 4096, 64KiB or 1GB";
  } else if (auto whole = parse_int(text)) {
    number = *whole;
  } else {
    number = parse_uint(text);
    what = "a whole number";
  }
  if (!number) return refuse(text, "must be " + what);
  if (*number < low || *number > high) {
    return refuse(text, real ? "is out of range"
                             : "must be from " + std::to_string(static_cast<int64_t>(low)) +
                                   " to " + std::to_string(static_cast<uint64_t>(high)));
  }
  return Scalar{.number = *number};
}

// The form alone; bounds are parsed with this too.
Result<SettingField::Scalar> SettingField::parse(std::string_view text) const {
  if (is_duration(field_)) {
    auto nanoseconds = parse_duration(text);
    if (!nanoseconds) return refuse(text, "must be a duration, like 90s, 1.5h, 1h30m or 7d");
    return Scalar{.number = static_cast<long double>(*nanoseconds)};
  }
  switch (field_->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      if (!is_utf8(text)) return bad("is not UTF-8: write the file in that encoding");
      return Scalar{.text = std::string(text)};
    case FieldDescriptor::CPPTYPE_ENUM: return parse_enum(text);
    case FieldDescriptor::CPPTYPE_BOOL: {
      auto value = parse_bool(text);
      if (!value) return refuse(text, "must be true or false (yes, no, on, off)");
      return Scalar{.number = *value ? 1.0L : 0.0L};
    }
    default: return parse_number(text);
  }
}

Status SettingField::check_length(size_t length, std::string_view what) const {
  auto min = parse_uint(options_.min());
  auto max = parse_uint(options_.max());
  if (min && length < *min) {
    return bad("is too short: at least " + options_.min() + " " + std::string(what));
  }
  if (max && length > *max) {
    return bad("is too long: at most " + options_.max() + " " + std::string(what));
  }
  return {};
}

Status SettingField::check_text(const std::string& text) const {
  if (!is_list()) {
    Status status = check_length(text.size(), "bytes");
    if (!status.ok()) return status;
  }
  if (!serves(text) && !text.empty()) {
    std::string scheme = options_.secret() ? "" : std::string(scheme_of(text));
    return bad((scheme.empty() ? "has no scheme that is served here; it must begin with "
                               : "has the scheme `" + scheme +
                                     "`, which is not served here; it must begin with ") +
               join({options_.schemes().begin(), options_.schemes().end()}, ": or ") + ":");
  }
  if (options_.pattern().empty()) return {};
  if (text.size() > kLongestMatched) {
    return bad("is too long: at most " + std::to_string(kLongestMatched) + " bytes");
  }
  try {
    if (std::regex_match(text, std::regex(options_.pattern()))) return {};
  } catch (const std::regex_error& error) {
    return {IMCTL_FAILED_PRECONDITION, "is declared with the bad pattern " + options_.pattern() +
                                           " (" + error.what() + "); the module must be changed"};
  }
  return refuse(text, "must match " + options_.pattern());
}

Status SettingField::check_bounds(const Scalar& value) const {
  for (bool is_min : {true, false}) {
    const std::string& text = is_min ? options_.min() : options_.max();
    if (text.empty()) continue;
    auto bound = parse(text);
    if (!bound.ok()) {
      return {IMCTL_FAILED_PRECONDITION,
              "is declared with the bad bound " + text + "; the module must be changed"};
    }
    if (is_min && value.number < bound->number) return bad("must be at least " + text);
    if (!is_min && value.number > bound->number) return bad("must be at most " + text);
  }
  return {};
}

void SettingField::store(Message& message, const Scalar& value) const {
  const Reflection* reflection = message.GetReflection();
  auto put = [&](auto set, auto add, auto typed) {
    if (is_list()) {
      (reflection->*add)(&message, field_, typed);
    } else {
      (reflection->*set)(&message, field_, typed);
    }
  };
  if (is_duration(field_)) {
    Message* duration = is_list() ? reflection->AddMessage(&message, field_)
                                  : reflection->MutableMessage(&message, field_);
    auto nanoseconds = static_cast<int64_t>(value.number);
    const auto* type = duration->GetDescriptor();
    duration->GetReflection()->SetInt64(duration, type->FindFieldByNumber(1),
                                        nanoseconds / kSecond);
    duration->GetReflection()->SetInt32(duration, type->FindFieldByNumber(2),
                                        static_cast<int32_t>(nanoseconds % kSecond));
    return;
  }
  switch (field_->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      put(&Reflection::SetString, &Reflection::AddString, value.text);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      put(&Reflection::SetBool, &Reflection::AddBool, value.number != 0);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      put(&Reflection::SetEnumValue, &Reflection::AddEnumValue, static_cast<int>(value.number));
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      put(&Reflection::SetInt32, &Reflection::AddInt32, static_cast<int32_t>(value.number));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      put(&Reflection::SetInt64, &Reflection::AddInt64, static_cast<int64_t>(value.number));
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      put(&Reflection::SetUInt32, &Reflection::AddUInt32, static_cast<uint32_t>(value.number));
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      put(&Reflection::SetUInt64, &Reflection::AddUInt64, static_cast<uint64_t>(value.number));
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      put(&Reflection::SetFloat, &Reflection::AddFloat, static_cast<float>(value.number));
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      put(&Reflection::SetDouble, &Reflection::AddDouble, static_cast<double>(value.number));
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;  // a Duration, done above; others are refused by make
  }
}

Status SettingField::set(Message& message, const std::vector<std::string>& texts) const {
  std::vector<std::string> items;
  for (const std::string& text : texts) {
    if (!is_list()) {
      items.push_back(text);
      continue;
    }
    for (size_t begin = 0; !trim(text).empty() && begin <= text.size();) {
      size_t comma = std::min(text.find(',', begin), text.size());
      items.emplace_back(trim(std::string_view(text).substr(begin, comma - begin)));
      if (items.back().empty()) return refuse(text, "has an empty item; remove the extra comma");
      begin = comma + 1;
    }
  }
  if (is_list()) {
    Status status = check_length(items.size(), "items");
    if (!status.ok()) return status;
  }
  message.GetReflection()->ClearField(&message, field_);
  for (const std::string& item : items) {
    auto value = parse(item);
    if (!value.ok()) return value.status();
    bool is_text = field_->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    Status status = is_text ? check_text(item) : is_list() ? Status() : check_bounds(*value);
    if (status.code() == IMCTL_INVALID_ARGUMENT && !is_text) return refuse(item, status.message());
    if (!status.ok()) return status;
    store(message, *value);
  }
  return {};
}

Status SettingField::set_default(Message& message) const {
  if (!options_.default_().empty()) return set(message, {options_.default_()});
  if (is_list() || field_->has_optional_keyword()) return {};
  Scalar zero;
  if (field_->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    zero.number = field_->default_value_enum()->number();
  }
  store(message, zero);
  return {};
}

}  // namespace imctl::host
