#include "cli/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cwchar>

namespace imctl::host::cli {
namespace {

constexpr char32_t kBadPoint = 0xFFFFFFFF;

// Takes one code point off the front; kBadPoint and one byte if it is not UTF-8.
char32_t take(std::string_view* text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>((*text)[i]); };
  char32_t lead = byte(0);
  size_t size = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  char32_t point = lead;
  if (size > 1) point = lead & (0x7FU >> size);
  bool good = size != 0 && lead < 0xF5 && size <= text->size();
  for (size_t i = 1; good && i < size; ++i) {
    good = (byte(i) & 0xC0U) == 0x80;
    point = (point << 6U) | (byte(i) & 0x3FU);
  }
  if (good && size == 3) good = point >= 0x800 && (point < 0xD800 || point > 0xDFFF);
  if (good && size == 4) good = point >= 0x10000 && point <= 0x10FFFF;
  text->remove_prefix(good ? size : 1);
  return good ? point : kBadPoint;
}

size_t point_width(char32_t point) {
  if (point < 0x7F) return 1;
  int width = ::wcwidth(static_cast<wchar_t>(point));
  return width < 0 ? 1 : static_cast<size_t>(width);
}

bool is_control(char32_t point) {
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || (point >= 0x202A && point <= 0x202E) ||
         (point >= 0x2066 && point <= 0x2069) || point == 0x2028 || point == 0x2029;
}

}  // namespace

std::string env(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing calls setenv
  return value == nullptr ? "" : value;
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) width += point_width(take(&text));
  return width;
}

std::string fit(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return {};
  std::string_view rest = text;
  size_t used = 0;
  while (!rest.empty()) {
    std::string_view after = rest;
    size_t more = point_width(take(&after));
    if (used + more > width - 1) break;
    used += more;
    rest = after;
  }
  return std::string(text.substr(0, text.size() - rest.size())) + "…" +
         std::string(width - 1 - used, ' ');
}

std::string clean_line(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    std::string_view before = text;
    char32_t point = take(&text);
    std::string_view bytes = before.substr(0, before.size() - text.size());
    if (point == '\n') {
      clean += "\\n";
    } else if (point == '\t') {
      clean += "\\t";
    } else if (point == '\r') {
      clean += "\\r";
    } else if (point == kBadPoint || is_control(point)) {
      for (char c : bytes) {
        std::array<char, 8> hex{};
        (void)std::snprintf(hex.data(), hex.size(), "\\x%02x", static_cast<unsigned char>(c));
        clean += hex.data();
      }
    } else {
      clean += bytes;
    }
  }
  return clean;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string joined;
  for (const std::string& part : parts) {
    if (&part != &parts.front()) joined += separator;
    joined += part;
  }
  return joined;
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  size_t start = 0;
  while (start < text.size()) {
    size_t end = text.find(' ', start);
    if (end == std::string_view::npos) end = text.size();
    if (end > start) words.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

std::string wrap(std::string_view text, size_t indent, size_t width) {
  std::string result;
  size_t start = 0;
  while (start < text.size()) {
    size_t end = text.find('\n', start);
    if (end == std::string_view::npos) end = text.size();
    std::string_view source = text.substr(start, end - start);
    // What goes on in an item of a list stands under its first word.
    size_t hang = source.starts_with("- ") ? indent + 2 : indent;
    std::string line(indent, ' ');
    size_t used = 0;
    for (const std::string& word : split_words(source)) {
      size_t size = display_width(word);
      if (used > 0 && indent + used + 1 + size > width) {
        result += line + "\n";
        line.assign(hang, ' ');
        used = 0;
      }
      if (used > 0) {
        line += ' ';
        ++used;
      }
      line += word;
      used += size;
    }
    result += (used == 0 ? "" : line) + "\n";
    start = end + 1;
  }
  return result;
}

std::string two_columns(const TwoColumns& lines, size_t width) {
  constexpr size_t kWidest = 28;
  size_t left = 0;
  for (const auto& [first, second] : lines) {
    size_t size = display_width(first);
    if (size <= kWidest) left = std::max(left, size);
  }
  std::string text;
  for (const auto& [first, second] : lines) {
    std::string wrapped = wrap(second, left + 4, width);
    size_t size = display_width(first);
    text += "  " + first;
    if (wrapped.empty()) {
      text += "\n";
    } else if (size <= left) {
      text += wrapped.substr(size + 2);
    } else {
      text += "\n" + wrapped;
    }
  }
  return text;
}

std::string dashed(std::string_view field_name) {
  std::string result;
  for (char c : field_name) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0) {
      if (!result.empty() && result.back() != '-') result += '-';
      result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else {
      result += c == '_' ? '-' : c;
    }
  }
  return result;
}

}  // namespace imctl::host::cli
