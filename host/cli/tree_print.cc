#include <array>
#include <cstdio>

#include "cli/text.h"
#include "cli/tree.h"

namespace imctl::host::cli {
namespace {

std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (char c : text) {
    switch (c) {
      case '"': json += "\\\""; break;
      case '\\': json += "\\\\"; break;
      case '\n': json += "\\n"; break;
      case '\r': json += "\\r"; break;
      case '\t': json += "\\t"; break;
      default:
        // DEL too: what is printed must not drive a terminal.
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          std::array<char, 8> hex{};
          (void)std::snprintf(hex.data(), hex.size(), "\\u%04x", static_cast<unsigned>(c));
          json += hex.data();
        } else {
          json += c;
        }
    }
  }
  return json + "\"";
}

void json(const Tree& tree, bool pretty, size_t depth, std::string* out) {
  auto line = [&](size_t level) {
    if (pretty) *out += "\n" + std::string(2 * level, ' ');
  };
  switch (tree.kind) {
    case Tree::Kind::kNull: *out += "null"; return;
    case Tree::Kind::kLiteral: *out += tree.text; return;
    case Tree::Kind::kString: *out += quoted(tree.text); return;
    case Tree::Kind::kList:
    case Tree::Kind::kObject: break;
  }
  bool object = tree.kind == Tree::Kind::kObject;
  *out += object ? "{" : "[";
  for (size_t i = 0; i < tree.items.size(); ++i) {
    if (i > 0) *out += ",";
    line(depth + 1);
    if (object) *out += quoted(tree.keys[i]) + (pretty ? ": " : ":");
    json(tree.items[i], pretty, depth + 1, out);
  }
  if (!tree.items.empty()) line(depth);
  *out += object ? "}" : "]";
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

std::string to_json(const Tree& tree, bool pretty) {
  std::string out;
  json(tree, pretty, 0, &out);
  return out;
}

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
