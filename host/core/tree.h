// A message as the plain tree that JSON and YAML share.
#ifndef IMCTL_HOST_CORE_TREE_H
#define IMCTL_HOST_CORE_TREE_H

#include <google/protobuf/message.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace imctl::host {

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

// How much of a message is told.
struct TreeOptions {
  bool bytes = true;  // what is in bytes fields; else "N bytes"
  bool defaults =
      true;  // fields without presence that have their default, so scripts need not guess
  size_t most = SIZE_MAX;  // about so many characters; what is more is cut off, and ends with "…"
};

// Protobuf's JSON mapping with field names as in the .proto. Secret fields never are there, also
// not in an Any. An Any of a type that the message's own descriptors do not have is
// {"@type": ..., "value": BASE64}.
Tree to_tree(const google::protobuf::Message& message, const TreeOptions& options = {});

// One value of a field; `index` counts in lists.
Tree to_tree(const google::protobuf::Message& message,
             const google::protobuf::FieldDescriptor* field, int index);

// With line ends and two blanks a level, or on one line. No line end after it.
std::string to_json(const Tree& tree, bool pretty);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_TREE_H
