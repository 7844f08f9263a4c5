#include "cli/text.h"
#include "cli/tree.h"
#include "core/json_text.h"

namespace imctl::host::cli {
namespace {

std::string quoted(const std::string& text) {
  std::string json;
  append_json_string(&json, text);
  return json;
}

// May it stand in YAML as it is, and be read back as a string?
bool plain_in_yaml(const std::string& text) {
  static constexpr std::string_view kSafe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@+-";
  if (text.empty() || text.find_first_not_of(kSafe) != std::string::npos) return false;
  bool letter =
      (text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z') || text[0] == '/';
  if (!letter) return false;  // numbers, dates, "-", "."
  std::string small = lower(text);
  for (const char* word : {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}) {
    if (small == word) return false;
  }
  return true;
}

std::string yaml_scalar(const Tree& tree) {
  if (tree.kind == Tree::Kind::kNull) return "null";
  if (tree.kind == Tree::Kind::kLiteral) return tree.text;
  if (tree.kind == Tree::Kind::kString)
    return plain_in_yaml(tree.text) ? tree.text : quoted(tree.text);
  return tree.kind == Tree::Kind::kList ? "[]" : "{}";
}

// Lines of a list or an object that is not empty. `inline_first`: the first line's indent is there
// already ("- " of the list around).
void yaml(const Tree& tree, size_t indent, bool inline_first, std::string* out) {
  bool object = tree.kind == Tree::Kind::kObject;
  for (size_t i = 0; i < tree.items.size(); ++i) {
    const Tree& item = tree.items[i];
    if (i > 0 || !inline_first) *out += std::string(indent, ' ');
    if (object) {
      *out += plain_in_yaml(tree.keys[i]) ? tree.keys[i] : quoted(tree.keys[i]);
      *out += ":";
    } else {
      *out += "-";
    }
    bool leaf = item.items.empty();
    if (leaf) {
      *out += " " + yaml_scalar(item) + "\n";
    } else if (object) {
      *out += "\n";
      yaml(item, indent + 2, false, out);
    } else {
      *out += " ";
      yaml(item, indent + 2, true, out);
    }
  }
}

}  // namespace

std::string to_yaml(const Tree& tree) {
  if (tree.items.empty()) return yaml_scalar(tree) + "\n";
  std::string out;
  yaml(tree, 0, false, &out);
  return out;
}

bool is_json_number(const std::string& text) {
  size_t i = 0;
  auto digits = [&] {
    size_t start = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    return i - start;
  };
  if (i < text.size() && text[i] == '-') ++i;
  size_t first = i;
  size_t whole = digits();
  if (whole == 0 || (whole > 1 && text[first] == '0')) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (digits() == 0) return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (digits() == 0) return false;
  }
  return i == text.size();
}

}  // namespace imctl::host::cli
