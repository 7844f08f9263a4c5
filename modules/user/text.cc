#include "text.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <ctime>

namespace imctl::user {
namespace {

Status bad(std::string_view what, const std::string& why) {
  return {IMCTL_INVALID_ARGUMENT, std::string(what) + ": " + why};
}

// The code point at `*at`, which moves behind it; -1: it is no UTF-8.
int64_t next_code_point(std::string_view text, size_t* at) {
  const auto lead = static_cast<unsigned char>(text[*at]);
  size_t more = 0;
  int64_t point = lead;
  if (lead >= 0xF0 && lead < 0xF5) {
    more = 3;
    point = lead & 0x07U;
  } else if (lead >= 0xE0 && lead < 0xF0) {
    more = 2;
    point = lead & 0x0FU;
  } else if (lead >= 0xC2 && lead < 0xE0) {
    more = 1;
    point = lead & 0x1FU;
  } else if (lead >= 0x80) {
    return -1;
  }
  if (text.size() - *at <= more) return -1;
  for (size_t i = 1; i <= more; ++i) {
    const auto byte = static_cast<unsigned char>(text[*at + i]);
    if ((byte & 0xC0U) != 0x80) return -1;
    point = point << 6 | (byte & 0x3FU);
  }
  static constexpr int64_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  if (point < kLeast[more] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return -1;
  *at += more + 1;
  return point;
}

bool is_control(int64_t point) {
  // Besides the controls of ASCII and Latin-1: line and paragraph separators, and what turns the
  // direction of text around, so that a name could look like another.
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029 ||
         (point >= 0x202A && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069);
}

bool in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

}  // namespace

Status check_text(std::string_view what, std::string_view text, size_t max) {
  if (text.size() > max) {
    return bad(what, std::to_string(text.size()) + " bytes are too long: it may have " +
                         std::to_string(max));
  }
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    const int64_t point = next_code_point(text, &at);
    if (point < 0) return bad(what, "byte " + std::to_string(here + 1) + " is no UTF-8");
    if (is_control(point)) {
      return bad(what,
                 "a control character at byte " + std::to_string(here + 1) + ": it may have none");
    }
  }
  return {};
}

std::string quoted(std::string_view text) {
  constexpr size_t kShown = 64;
  std::string out = "\"";
  for (char c : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte >= 0x7F ? '?' : c;
  }
  return out + (text.size() > kShown ? "...\"" : "\"");
}

Status check_name(std::string_view what, std::string_view name, size_t max) {
  if (!name.empty() && name.size() <= max && std::all_of(name.begin(), name.end(), in_name)) {
    return {};
  }
  return bad(what, quoted(name) + " is no name: 1 to " + std::to_string(max) +
                       " letters, digits, '.', '_' and '-'");
}

Status check_scope(std::string_view entry) {
  constexpr size_t kMax = 256;
  const bool good = !entry.empty() && entry.size() <= kMax &&
                    std::all_of(entry.begin(), entry.end(),
                                [](char c) { return in_name(c) || c == '/' || c == '*'; });
  if (good) return {};
  return bad("scope", quoted(entry) +
                          " names no methods: write package.Service/Method, with * for any text");
}

std::optional<int64_t> parse_time(const std::string& text) {
  std::tm time{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  if (rest == nullptr) return std::nullopt;
  if (*rest == '.') {
    do {
      ++rest;
    } while (*rest >= '0' && *rest <= '9');
  }
  if (std::strcmp(rest, "Z") != 0 && std::strcmp(rest, "+00:00") != 0) return std::nullopt;
  const int64_t seconds = ::timegm(&time);
  if (seconds <= 0) return std::nullopt;
  return seconds;
}

std::string format_time(int64_t seconds) {
  const std::time_t at = seconds;
  std::tm time{};
  ::gmtime_r(&at, &time);
  char text[32];
  return {text, std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &time)};
}

}  // namespace imctl::user
