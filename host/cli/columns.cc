#include "cli/columns.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>

#include "cli/field_value.h"
#include "cli/human.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "core/utf8.h"
#include "core/value_format.h"

namespace imctl::host::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;

std::string header_of(std::string_view path) {
  std::string header = dashed(path.substr(path.rfind('.') + 1));
  for (char& c : header) {
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return header;
}

// seconds = 1, nanos = 2, in Duration and Timestamp.
int64_t seconds_of(const Message& time) {
  return time.GetReflection()->GetInt64(time, time.GetDescriptor()->FindFieldByNumber(1));
}
int32_t nanos_of(const Message& time) {
  return time.GetReflection()->GetInt32(time, time.GetDescriptor()->FindFieldByNumber(2));
}

// A message that is nothing but a choice of scalars, such as CloudEvent's attribute values.
const OneofDescriptor* only_oneof(const Descriptor* type) {
  if (type->real_oneof_decl_count() != 1) return nullptr;
  const OneofDescriptor* oneof = type->oneof_decl(0);
  return oneof->field_count() == type->field_count() ? oneof : nullptr;
}

// As a number, if it is one: times and durations in nanoseconds. `index` counts in lists.
std::optional<long double> number_of(const Message& message, const FieldDescriptor* field,
                                     int index = -1) {
  const Reflection* r = message.GetReflection();
  bool list = index >= 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return list ? r->GetRepeatedInt32(message, field, index) : r->GetInt32(message, field);
    case FieldDescriptor::CPPTYPE_INT64:
      return list ? r->GetRepeatedInt64(message, field, index) : r->GetInt64(message, field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return list ? r->GetRepeatedUInt32(message, field, index) : r->GetUInt32(message, field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return list ? r->GetRepeatedUInt64(message, field, index) : r->GetUInt64(message, field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return list ? r->GetRepeatedDouble(message, field, index) : r->GetDouble(message, field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return list ? r->GetRepeatedFloat(message, field, index) : r->GetFloat(message, field);
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const Descriptor* type = field->message_type();
      if (type->well_known_type() != Descriptor::WELLKNOWNTYPE_DURATION &&
          type->well_known_type() != Descriptor::WELLKNOWNTYPE_TIMESTAMP) {
        return std::nullopt;
      }
      const Message& time =
          list ? r->GetRepeatedMessage(message, field, index) : r->GetMessage(message, field);
      return seconds_of(time) * 1e9L + nanos_of(time);
    }
    default: return std::nullopt;
  }
}

std::string text_of(const Message& message, const FieldDescriptor* field, int index);

std::string text_of(const Message& message) {
  const Descriptor* type = message.GetDescriptor();
  if (type->well_known_type() == Descriptor::WELLKNOWNTYPE_DURATION) {
    return human_duration(seconds_of(message), nanos_of(message));
  }
  if (type->well_known_type() == Descriptor::WELLKNOWNTYPE_UNSPECIFIED) {
    if (const OneofDescriptor* oneof = only_oneof(type)) {
      const FieldDescriptor* set = message.GetReflection()->GetOneofFieldDescriptor(message, oneof);
      return set == nullptr ? "" : text_of(message, set, -1);
    }
  }
  Tree tree = to_tree(message);
  bool plain = tree.kind == Tree::Kind::kString || tree.kind == Tree::Kind::kLiteral;
  return plain ? tree.text : to_json(tree, false);
}

// One value.
std::string text_of(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection* reflection = message.GetReflection();
  if (is_secret(field)) return "(secret)";
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return text_of(index >= 0 ? reflection->GetRepeatedMessage(message, field, index)
                              : reflection->GetMessage(message, field));
  }
  if (field->type() == FieldDescriptor::TYPE_BYTES) {
    std::string bytes = index >= 0 ? reflection->GetRepeatedString(message, field, index)
                                   : reflection->GetString(message, field);
    return is_utf8(bytes) ? bytes : "(" + std::to_string(bytes.size()) + " bytes)";
  }
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    const int number = index >= 0 ? reflection->GetRepeatedEnumValue(message, field, index)
                                  : reflection->GetEnumValue(message, field);
    const auto* value = field->enum_type()->FindValueByNumber(number);
    return value == nullptr ? std::to_string(number) : choice_name(value);
  }
  std::string text = to_tree(message, field, index).text;
  if (is_size(field)) {
    if (std::optional<uint64_t> size = parse_uint(text)) return human_bytes(*size);
  }
  bool fraction = field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE ||
                  field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT;
  if (fraction) return human_number(*number_of(message, field, index));
  return text;
}

const Message* map_value(const Message& message, const FieldDescriptor* field,
                         std::string_view key) {
  const Reflection* reflection = message.GetReflection();
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, field, i);
    if (text_of(entry, field->message_type()->map_key(), -1) == key) return &entry;
  }
  return nullptr;
}

bool leads_somewhere(const Descriptor* type, std::string_view path) {
  while (true) {
    size_t dot = path.find('.');
    std::string name(path.substr(0, dot));
    const FieldDescriptor* field = type->FindFieldByName(name);
    if (field == nullptr)
      return type->FindOneofByName(name) != nullptr && dot == std::string_view::npos;
    if (dot == std::string_view::npos || field->is_map()) return true;
    if (field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return false;
    type = field->message_type();
    path.remove_prefix(dot + 1);
  }
}

}  // namespace

bool is_scalar_like(const FieldDescriptor* field) {
  if (is_secret(field)) return false;
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return true;
  switch (field->message_type()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED:
    case Descriptor::WELLKNOWNTYPE_ANY:
    case Descriptor::WELLKNOWNTYPE_STRUCT:
    case Descriptor::WELLKNOWNTYPE_LISTVALUE: return false;
    default: return true;
  }
}

std::string field_text(const Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  if (!field->is_repeated()) {
    if (field->has_presence() && !reflection->HasField(message, field)) return {};
    return text_of(message, field, -1);
  }
  std::vector<std::string> parts;
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    if (field->is_map()) {
      const Message& entry = reflection->GetRepeatedMessage(message, field, i);
      parts.push_back(text_of(entry, field->message_type()->map_key(), -1) + "=" +
                      text_of(entry, field->message_type()->map_value(), -1));
    } else {
      parts.push_back(text_of(message, field, i));
    }
  }
  if (field->is_map()) std::sort(parts.begin(), parts.end());
  return join(parts, ",");
}

std::string label_of(std::string_view field_name) {
  std::string label = dashed(field_name);
  std::replace(label.begin(), label.end(), '-', ' ');
  if (!label.empty())
    label[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(label[0])));
  return label;
}

std::vector<Column> columns_of(const Descriptor* row, const std::vector<std::string>& paths,
                               bool wide) {
  std::vector<Column> columns;
  for (const std::string& path : paths) {
    if (leads_somewhere(row, path)) columns.push_back({path, header_of(path)});
  }
  if (!columns.empty() && !wide) return columns;
  for (int i = 0; i < row->field_count(); ++i) {
    const FieldDescriptor* field = row->field(i);
    bool there = std::any_of(columns.begin(), columns.end(),
                             [&](const Column& column) { return column.path == field->name(); });
    if (!there && is_scalar_like(field))
      columns.push_back({field->name(), header_of(field->name())});
  }
  return columns;
}

std::string find_path(const Descriptor* row, const std::vector<Column>& shown,
                      const std::string& typed) {
  for (const Column& column : shown) {
    if (typed == column.path || header_of(typed) == column.header) return column.path;
  }
  for (int i = 0; i < row->field_count(); ++i) {
    if (header_of(row->field(i)->name()) == header_of(typed) && typed.find('.') == typed.npos)
      return row->field(i)->name();
  }
  return leads_somewhere(row, typed) ? typed : "";
}

namespace {

// Where a path ends: a field of a message; nothing if there is none.
struct Place {
  const Message* message = nullptr;
  const FieldDescriptor* field = nullptr;
};

Place resolve(const Message& row, std::string_view rest) {
  const Message* message = &row;
  while (true) {
    const Reflection* reflection = message->GetReflection();
    size_t dot = rest.find('.');
    std::string name(rest.substr(0, dot));
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(name);
    if (field == nullptr) {
      const OneofDescriptor* oneof = message->GetDescriptor()->FindOneofByName(name);
      if (oneof != nullptr) field = reflection->GetOneofFieldDescriptor(*message, oneof);
      if (field == nullptr) return {};
    }
    if (dot == std::string_view::npos) return {message, field};
    rest.remove_prefix(dot + 1);
    if (field->is_map()) {
      const FieldDescriptor* value = field->message_type()->map_value();
      // A key may have dots in it.
      if (const Message* entry = map_value(*message, field, rest)) return {entry, value};
      dot = rest.find('.');
      const Message* entry = map_value(*message, field, rest.substr(0, dot));
      if (entry == nullptr || dot == std::string_view::npos ||
          value->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
        return {};
      }
      message = &entry->GetReflection()->GetMessage(*entry, value);
      rest.remove_prefix(dot + 1);
      continue;
    }
    if (field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE ||
        !reflection->HasField(*message, field)) {
      return {};
    }
    message = &reflection->GetMessage(*message, field);
  }
}

// What to sort by: a number where there is one, else the text.
struct SortKey {
  bool number = false;
  long double value = 0;
  std::string text;
};

SortKey sort_key(const Message& row, const std::string& path) {
  Place place = resolve(row, path);
  if (place.field == nullptr) return {};
  if (!place.field->is_repeated()) {
    if (place.field->has_presence() &&
        !place.message->GetReflection()->HasField(*place.message, place.field))
      return {};
    if (std::optional<long double> number = number_of(*place.message, place.field))
      return {true, *number, {}};
  }
  return {false, 0, field_text(*place.message, place.field)};
}

}  // namespace

std::string cell(const Message& row, const std::string& path) {
  Place place = resolve(row, path);
  return place.field == nullptr ? "" : field_text(*place.message, place.field);
}

bool cell_less(const Message& a, const Message& b, const std::string& path) {
  SortKey first = sort_key(a, path);
  SortKey second = sort_key(b, path);
  if (first.number && second.number) return first.value < second.value;
  if (first.number != second.number) return second.number;
  return first.text < second.text;
}

}  // namespace imctl::host::cli
