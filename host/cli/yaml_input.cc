#include "cli/yaml_input.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "cli/tree.h"

namespace imctl::host::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Whose scalars are strings in JSON, whatever they look like.
bool wants_string(const FieldDescriptor* field) {
  if (field == nullptr) return false;
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) return true;
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return false;
  switch (field->message_type()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_STRINGVALUE:
    case Descriptor::WELLKNOWNTYPE_BYTESVALUE:
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
    case Descriptor::WELLKNOWNTYPE_DURATION:
    case Descriptor::WELLKNOWNTYPE_FIELDMASK: return true;
    default: return false;
  }
}

Tree scalar(const YAML::Node& node, const FieldDescriptor* field) {
  std::string text = node.Scalar();
  if (field != nullptr && field->type() == FieldDescriptor::TYPE_BYTES) {
    // Base64 is folded over lines.
    text.erase(std::remove_if(text.begin(), text.end(),
                              [](char c) { return c == ' ' || c == '\n' || c == '\r'; }),
               text.end());
    return Tree::string(text);
  }
  bool quoted = node.Tag() == "!";
  if (quoted || wants_string(field)) return Tree::string(text);
  if (text == "true" || text == "false" || is_json_number(text)) return Tree::literal(text);
  if (text == ".inf") return Tree::string("Infinity");
  if (text == "-.inf") return Tree::string("-Infinity");
  if (text == ".nan") return Tree::string("NaN");
  return Tree::string(text);
}

const FieldDescriptor* find_field(const Descriptor* type, const std::string& key) {
  if (type == nullptr) return nullptr;
  const FieldDescriptor* field = type->FindFieldByName(key);
  for (int i = 0; field == nullptr && i < type->field_count(); ++i) {
    if (type->field(i)->json_name() == key) field = type->field(i);
  }
  return field;
}

// The type whose fields a YAML map names; nullptr where they are free (Any, Struct) or unknown.
const Descriptor* fields_of(const FieldDescriptor* field) {
  if (field == nullptr || field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return nullptr;
  const Descriptor* type = field->message_type();
  return type->well_known_type() == Descriptor::WELLKNOWNTYPE_UNSPECIFIED ? type : nullptr;
}

Tree convert(const YAML::Node& node, const FieldDescriptor* field, const Descriptor* type) {
  if (node.IsScalar()) return scalar(node, field);
  if (node.IsSequence()) {
    Tree list = Tree::list();
    for (const YAML::Node& item : node) list.items.push_back(convert(item, field, type));
    return list;
  }
  if (!node.IsMap()) return Tree::null();
  bool map = field != nullptr && field->is_map();
  Tree object = Tree::object();
  for (const auto& pair : node) {
    if (!pair.first.IsScalar())
      throw YAML::RepresentationException(pair.first.Mark(), "a key must be a name");
    const std::string& key = pair.first.Scalar();
    const FieldDescriptor* value = map ? field->message_type()->map_value() : find_field(type, key);
    object.add(key, convert(pair.second, value, fields_of(value)));
  }
  return object;
}

}  // namespace

Result<std::string> yaml_to_json(const std::string& yaml, const Descriptor* type, size_t line) {
  try {
    YAML::Node root = YAML::Load(yaml);
    if (root.IsNull()) return std::string();
    if (!root.IsMap()) {
      return Status(IMCTL_INVALID_ARGUMENT,
                    std::to_string(line) + ":1: a request is a map of its fields");
    }
    return to_json(convert(root, nullptr, type), false);
  } catch (const YAML::Exception& error) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  std::to_string(line + static_cast<size_t>(std::max(error.mark.line, 0))) + ":" +
                      std::to_string(error.mark.column + 1) + ": " + error.msg);
  }
}

}  // namespace imctl::host::cli
