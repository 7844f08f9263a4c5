// A message as the plain tree that JSON and YAML share.
#ifndef IMCTL_HOST_CLI_TREE_H
#define IMCTL_HOST_CLI_TREE_H

#include <google/protobuf/message.h>

#include <string>
#include <utility>
#include <vector>

namespace imctl::host::cli {

struct Tree {
  enum class Kind { kNull, kLiteral, kString, kList, kObject };

  Kind kind = Kind::kNull;
  std::string text;               // of a literal (a number, true, false) or a string
  std::vector<std::string> keys;  // of an object, beside `items`
  std::vector<Tree> items;        // of a list or an object

  static Tree null() { return {}; }
  static Tree literal(std::string text) { return {Kind::kLiteral, std::move(text), {}, {}}; }
  static Tree string(std::string text) { return {Kind::kString, std::move(text), {}, {}}; }
  static Tree list() { return {Kind::kList, {}, {}, {}}; }
  static Tree object() { return {Kind::kObject, {}, {}, {}}; }
  void add(std::string key, Tree value) {
    keys.push_back(std::move(key));
    items.push_back(std::move(value));
  }
};

// Protobuf's JSON mapping with field names as in the .proto. Fields without presence are there even
// if they have their default, so scripts need not guess; secret fields never are. An Any of a type
// that the message's own descriptors do not have is {"@type": ..., "value": BASE64}.
Tree to_tree(const google::protobuf::Message& message);

// One value of a field; `index` counts in lists.
Tree to_tree(const google::protobuf::Message& message,
             const google::protobuf::FieldDescriptor* field, int index);

// With line ends and two blanks a level, or on one line. No line end after it.
std::string to_json(const Tree& tree, bool pretty);

// Block style, with a line end after it.
std::string to_yaml(const Tree& tree);

// Is it a number in JSON's notation?
bool is_json_number(const std::string& text);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_TREE_H
