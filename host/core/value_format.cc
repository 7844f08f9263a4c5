#include "core/value_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace imctl::host {
namespace {

struct Unit {
  std::string_view name;
  uint64_t size;
};

constexpr std::array<Unit, 7> kDurations = {{{"d", 86'400'000'000'000},
                                             {"h", 3'600'000'000'000},
                                             {"m", 60'000'000'000},
                                             {"s", 1'000'000'000},
                                             {"ms", 1'000'000},
                                             {"us", 1'000},
                                             {"ns", 1}}};

// Largest first, so that the first that divides a number is the one to print.
constexpr std::array<Unit, 9> kBytes = {{{"TiB", 1ULL << 40},
                                         {"TB", 1'000'000'000'000},
                                         {"GiB", 1ULL << 30},
                                         {"GB", 1'000'000'000},
                                         {"MiB", 1ULL << 20},
                                         {"MB", 1'000'000},
                                         {"KiB", 1ULL << 10},
                                         {"KB", 1'000},
                                         {"B", 1}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

template <class T>
std::optional<T> parse_whole(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Takes one "12.5unit" off the front of `text`. Integer arithmetic: what is exact in decimal stays
// so.
template <size_t N>
std::optional<uint64_t> take_quantity(std::string_view& text, const std::array<Unit, N>& units,
                                      uint64_t bare_size) {
  size_t whole = 0;
  while (whole < text.size() && is_digit(text[whole])) ++whole;
  if (whole == 0) return std::nullopt;
  auto number = parse_uint(text.substr(0, whole));
  if (!number) return std::nullopt;
  text.remove_prefix(whole);

  std::string_view fraction;
  if (!text.empty() && text.front() == '.') {
    size_t end = 1;
    while (end < text.size() && is_digit(text[end])) ++end;
    if (end == 1) return std::nullopt;
    fraction = text.substr(1, end - 1);
    text.remove_prefix(end);
  }

  size_t letters = 0;
  while (letters < text.size() && !is_digit(text[letters])) ++letters;
  std::string_view name = text.substr(0, letters);
  text.remove_prefix(letters);
  uint64_t size = bare_size;
  if (!name.empty()) {
    const auto* unit = std::find_if(units.begin(), units.end(),
                                    [&](const Unit& u) { return same_word(u.name, name); });
    if (unit == units.end()) return std::nullopt;
    size = unit->size;
  }
  if (size == 0 || (size == 1 && !fraction.empty())) return std::nullopt;

  uint64_t value = 0;
  if (__builtin_mul_overflow(*number, size, &value)) return std::nullopt;
  uint64_t place = size;
  for (char digit : fraction) {
    place /= 10;
    uint64_t part = place * static_cast<uint64_t>(digit - '0');
    if (__builtin_add_overflow(value, part, &value)) return std::nullopt;
  }
  return value;
}

}  // namespace

std::optional<bool> parse_bool(std::string_view text) {
  for (std::string_view word : {"true", "yes", "on", "1"}) {
    if (same_word(text, word)) return true;
  }
  for (std::string_view word : {"false", "no", "off", "0"}) {
    if (same_word(text, word)) return false;
  }
  return std::nullopt;
}

std::optional<int64_t> parse_int(std::string_view text) { return parse_whole<int64_t>(text); }
std::optional<uint64_t> parse_uint(std::string_view text) { return parse_whole<uint64_t>(text); }

std::optional<double> parse_double(std::string_view text) {
  auto value = parse_whole<double>(text);
  if (!value || !std::isfinite(*value)) return std::nullopt;
  return value;
}

std::optional<int64_t> parse_duration(std::string_view text) {
  bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  uint64_t total = 0;
  while (!text.empty()) {
    auto part = take_quantity(text, kDurations, 0);
    if (!part || __builtin_add_overflow(total, *part, &total)) return std::nullopt;
  }
  if (total > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  auto value = static_cast<int64_t>(total);
  return negative ? -value : value;
}

std::string format_duration(int64_t nanoseconds) {
  if (nanoseconds == 0) return "0s";
  std::string text = nanoseconds < 0 ? "-" : "";
  uint64_t rest = nanoseconds < 0 ? ~static_cast<uint64_t>(nanoseconds) + 1
                                  : static_cast<uint64_t>(nanoseconds);
  for (const Unit& unit : kDurations) {
    if (rest < unit.size) continue;
    text += std::to_string(rest / unit.size);
    text += unit.name;
    rest %= unit.size;
  }
  return text;
}

std::optional<uint64_t> parse_bytes(std::string_view text) {
  // A binary unit's name starts like a decimal's, and "KiB" holds no digit, so one quantity is all.
  auto value = take_quantity(text, kBytes, 1);
  if (!text.empty()) return std::nullopt;
  return value;
}

std::string format_bytes(uint64_t bytes) {
  for (const Unit& unit : kBytes) {
    if (unit.size > 1 && bytes >= unit.size && bytes % unit.size == 0) {
      std::string text = std::to_string(bytes / unit.size);
      text += unit.name;
      return text;
    }
  }
  return std::to_string(bytes);
}

}  // namespace imctl::host
