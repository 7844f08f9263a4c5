#include "cli/columns.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>

#include "cli/field_value.h"
#include "cli/text.h"
#include "cli/tree.h"
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

// A message that is nothing but a choice of scalars, such as CloudEvent's attribute values.
const OneofDescriptor* only_oneof(const Descriptor* type) {
  if (type->real_oneof_decl_count() != 1) return nullptr;
  const OneofDescriptor* oneof = type->oneof_decl(0);
  return oneof->field_count() == type->field_count() ? oneof : nullptr;
}

std::string text_of(const Message& message, const FieldDescriptor* field, int index);

std::string text_of(const Message& message) {
  const Descriptor* type = message.GetDescriptor();
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
  std::string text = to_tree(message, field, index).text;
  if (is_size(field)) {
    if (std::optional<uint64_t> size = parse_uint(text)) return format_bytes(*size);
  }
  return text;
}

// All of a field.
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

std::vector<Column> columns_of(const Descriptor* row, const imctl::Verb& verb, bool wide) {
  std::vector<Column> columns;
  for (const std::string& path : verb.columns()) {
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

std::string cell(const Message& row, const std::string& path) {
  const Message* message = &row;
  std::string_view rest = path;
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
    if (dot == std::string_view::npos) return field_text(*message, field);
    rest.remove_prefix(dot + 1);
    if (field->is_map()) {
      const FieldDescriptor* value = field->message_type()->map_value();
      // A key may have dots in it.
      if (const Message* entry = map_value(*message, field, rest)) return field_text(*entry, value);
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

}  // namespace imctl::host::cli
