#include "core/tree.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <memory>

#include "core/field_options.h"
#include "core/json_text.h"
#include "core/utf8.h"

namespace imctl::host {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr const char* kMore = "\u2026";

std::string base64(const std::string& bytes) {
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group =
          (group << 8U) | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += i + j > bytes.size() ? '=' : kLetters[(group >> (18 - 6 * j)) & 63U];
    }
  }
  return text;
}

template <class T>
Tree real(T number) {
  if (std::isnan(number)) return Tree::string("NaN");
  if (std::isinf(number)) return Tree::string(number > 0 ? "Infinity" : "-Infinity");
  std::array<char, 64> text{};
  auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  return Tree::literal(std::string(text.data(), end));
}

// seconds = 1, nanos = 2, in both types.
template <class T>
T known(const Message& message) {
  T copy;
  const Descriptor* type = message.GetDescriptor();
  copy.set_seconds(message.GetReflection()->GetInt64(message, type->FindFieldByNumber(1)));
  copy.set_nanos(message.GetReflection()->GetInt32(message, type->FindFieldByNumber(2)));
  return copy;
}

std::string camel(const std::string& path) {
  std::string result;
  bool raise = false;
  for (char c : path) {
    if (c == '_') {
      raise = true;
      continue;
    }
    result += raise && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    raise = false;
  }
  return result;
}

// Makes the tree of one message, as long as there is room.
class TreeMaker {
 public:
  explicit TreeMaker(TreeOptions options) : options_(options), room_(options.most) {}

  Tree message(const Message& message);
  Tree value(const Message& message, const FieldDescriptor* field, int index);

 private:
  Tree any_tree(const Message& any);
  Tree field_tree(const Message& message, const FieldDescriptor* field);
  Tree object_tree(const Message& message);
  Tree value_tree(const Message& message);
  Tree text(std::string text);
  // False: there is no more room. Else it is less.
  bool take(size_t characters) {
    if (room_ < characters) {
      room_ = 0;
      return false;
    }
    room_ -= characters;
    return true;
  }

  const TreeOptions options_;
  size_t room_;
};

// Cut to the room that is left, but never within a character.
Tree TreeMaker::text(std::string text) {
  const size_t room = room_;
  if (take(text.size() + 2)) return Tree::string(std::move(text));
  size_t kept = 0;
  while (kept < text.size()) {
    const size_t size = std::max<size_t>(utf8_sequence(std::string_view(text).substr(kept)), 1);
    if (kept + size > room) break;
    kept += size;
  }
  text.resize(kept);
  return Tree::string(text + kMore);
}

Tree TreeMaker::any_tree(const Message& any) {
  const Descriptor* type = any.GetDescriptor();
  const Reflection* reflection = any.GetReflection();
  std::string url = reflection->GetString(any, type->FindFieldByNumber(1));
  std::string value = reflection->GetString(any, type->FindFieldByNumber(2));
  Tree tree = Tree::object();
  if (url.empty() && value.empty()) return tree;
  tree.add("@type", Tree::string(url));
  const Descriptor* inner =
      type->file()->pool()->FindMessageTypeByName(url.substr(url.rfind('/') + 1));
  google::protobuf::DynamicMessageFactory factory;
  std::unique_ptr<Message> message;
  if (inner != nullptr) message.reset(factory.GetPrototype(inner)->New());
  if (message == nullptr || !message->ParseFromString(value)) {
    tree.add("value",
             options_.bytes ? text(base64(value)) : text(std::to_string(value.size()) + " bytes"));
    return tree;
  }
  Tree content = this->message(*message);
  if (content.kind != Tree::Kind::kObject ||
      inner->well_known_type() != Descriptor::WELLKNOWNTYPE_UNSPECIFIED) {
    tree.add("value", std::move(content));
    return tree;
  }
  for (size_t i = 0; i < content.keys.size(); ++i) {
    tree.add(std::move(content.keys[i]), std::move(content.items[i]));
  }
  return tree;
}

Tree TreeMaker::field_tree(const Message& message, const FieldDescriptor* field) {
  const Reflection* reflection = message.GetReflection();
  if (!field->is_repeated()) return value(message, field, -1);
  int size = reflection->FieldSize(message, field);
  if (!field->is_map()) {
    Tree list = Tree::list();
    for (int i = 0; i < size; ++i) {
      if (!take(1)) {
        list.items.push_back(Tree::string(kMore));
        break;
      }
      list.items.push_back(value(message, field, i));
    }
    return list;
  }
  std::vector<std::pair<std::string, Tree>> entries;
  for (int i = 0; i < size && take(1); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, field, i);
    const Descriptor* type = entry.GetDescriptor();
    entries.emplace_back(value(entry, type->map_key(), -1).text,
                         value(entry, type->map_value(), -1));
  }
  // Maps have no order of their own: the same data is always printed the same.
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  Tree object = Tree::object();
  for (auto& [key, value] : entries) object.add(std::move(key), std::move(value));
  if (static_cast<size_t>(size) > entries.size()) object.add(kMore, Tree::null());
  return object;
}

// The fields of an ordinary message.
Tree TreeMaker::object_tree(const Message& message) {
  const Reflection* reflection = message.GetReflection();
  Tree tree = Tree::object();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message.GetDescriptor()->field(i);
    if (is_secret(field)) continue;
    const bool there = field->is_repeated() ? reflection->FieldSize(message, field) > 0
                                            : reflection->HasField(message, field);
    if (!there && (field->has_presence() || !options_.defaults)) continue;
    if (!take(field->name().size() + 3)) {
      tree.add(kMore, Tree::null());
      break;
    }
    tree.add(field->name(), field_tree(message, field));
  }
  return tree;
}

// google.protobuf.Value: the one field that is set.
Tree TreeMaker::value_tree(const Message& message) {
  std::vector<const FieldDescriptor*> set;
  message.GetReflection()->ListFields(message, &set);
  if (set.empty() || set[0]->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) return Tree::null();
  return value(message, set[0], -1);
}

Tree TreeMaker::message(const Message& message) {
  const Descriptor* type = message.GetDescriptor();
  const Reflection* reflection = message.GetReflection();
  switch (type->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_UNSPECIFIED: return object_tree(message);
    case Descriptor::WELLKNOWNTYPE_ANY: return any_tree(message);
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return Tree::string(
          google::protobuf::util::TimeUtil::ToString(known<google::protobuf::Timestamp>(message)));
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return Tree::string(
          google::protobuf::util::TimeUtil::ToString(known<google::protobuf::Duration>(message)));
    case Descriptor::WELLKNOWNTYPE_VALUE: return value_tree(message);
    case Descriptor::WELLKNOWNTYPE_FIELDMASK: {
      std::string joined;
      const FieldDescriptor* paths = type->FindFieldByNumber(1);
      for (int i = 0; i < reflection->FieldSize(message, paths); ++i) {
        joined += (i == 0 ? "" : ",") + camel(reflection->GetRepeatedString(message, paths, i));
      }
      return Tree::string(joined);
    }
    default:
      // Wrappers, Struct and ListValue stand for what is in their only field.
      return field_tree(message, type->FindFieldByNumber(1));
  }
}

Tree TreeMaker::value(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection* r = message.GetReflection();
  bool list = index >= 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return Tree::literal(std::to_string(list ? r->GetRepeatedInt32(message, field, index)
                                               : r->GetInt32(message, field)));
    case FieldDescriptor::CPPTYPE_UINT32:
      return Tree::literal(std::to_string(list ? r->GetRepeatedUInt32(message, field, index)
                                               : r->GetUInt32(message, field)));
    // 64 bits do not fit JSON's numbers: the mapping has them as strings.
    case FieldDescriptor::CPPTYPE_INT64:
      return Tree::string(std::to_string(list ? r->GetRepeatedInt64(message, field, index)
                                              : r->GetInt64(message, field)));
    case FieldDescriptor::CPPTYPE_UINT64:
      return Tree::string(std::to_string(list ? r->GetRepeatedUInt64(message, field, index)
                                              : r->GetUInt64(message, field)));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return real(list ? r->GetRepeatedDouble(message, field, index)
                       : r->GetDouble(message, field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return real(list ? r->GetRepeatedFloat(message, field, index) : r->GetFloat(message, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return Tree::literal(
          (list ? r->GetRepeatedBool(message, field, index) : r->GetBool(message, field))
              ? "true"
              : "false");
    case FieldDescriptor::CPPTYPE_ENUM: {
      int number =
          list ? r->GetRepeatedEnumValue(message, field, index) : r->GetEnumValue(message, field);
      const auto* value = field->enum_type()->FindValueByNumber(number);
      return value == nullptr ? Tree::literal(std::to_string(number)) : Tree::string(value->name());
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text =
          list ? r->GetRepeatedString(message, field, index) : r->GetString(message, field);
      if (field->type() != FieldDescriptor::TYPE_BYTES) return this->text(std::move(text));
      if (options_.bytes) return this->text(base64(text));
      return this->text(std::to_string(text.size()) + " bytes");
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return this->message(list ? r->GetRepeatedMessage(message, field, index)
                                : r->GetMessage(message, field));
  }
  return Tree::null();
}

void json(const Tree& tree, bool pretty, size_t depth, std::string* out) {
  auto line = [&](size_t level) {
    if (pretty) *out += "\n" + std::string(2 * level, ' ');
  };
  switch (tree.kind) {
    case Tree::Kind::kNull: *out += "null"; return;
    case Tree::Kind::kLiteral: *out += tree.text; return;
    case Tree::Kind::kString: append_json_string(out, tree.text); return;
    case Tree::Kind::kList:
    case Tree::Kind::kObject: break;
  }
  bool object = tree.kind == Tree::Kind::kObject;
  *out += object ? "{" : "[";
  for (size_t i = 0; i < tree.items.size(); ++i) {
    if (i > 0) *out += ",";
    line(depth + 1);
    if (object) {
      append_json_string(out, tree.keys[i]);
      *out += pretty ? ": " : ":";
    }
    json(tree.items[i], pretty, depth + 1, out);
  }
  if (!tree.items.empty()) line(depth);
  *out += object ? "}" : "]";
}

}  // namespace

Tree to_tree(const Message& message, const TreeOptions& options) {
  return TreeMaker(options).message(message);
}

Tree to_tree(const Message& message, const FieldDescriptor* field, int index) {
  return TreeMaker({}).value(message, field, index);
}

std::string to_json(const Tree& tree, bool pretty) {
  std::string out;
  json(tree, pretty, 0, &out);
  return out;
}

}  // namespace imctl::host
