#include "cli/human.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

namespace imctl::host::cli {
namespace {

// With `digits` behind the point, but for zeros at the end.
std::string rounded(long double number, int digits) {
  std::array<char, 64> text{};
  (void)std::snprintf(text.data(), text.size(), "%.*Lf", digits, number);
  std::string result = text.data();
  if (result.find('.') == std::string::npos) return result;
  result.erase(result.find_last_not_of('0') + 1);
  if (result.back() == '.') result.pop_back();
  return result;
}

// Three digits that count.
std::string three_digits(long double number) {
  return rounded(number, number >= 100 ? 0 : number >= 10 ? 1 : 2);
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
  // Powers of ten are how some write limits, and are as short.
  for (const auto& [size, unit] : {std::pair<uint64_t, const char*>{1000000000000, "TB"},
                                   {1000000000, "GB"},
                                   {1000000, "MB"},
                                   {1000, "KB"}}) {
    if (bytes >= size && bytes % size == 0) return std::to_string(bytes / size) + unit;
  }
  static constexpr std::array<const char*, 5> kUnits = {"", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  auto value = static_cast<long double>(bytes);
  // What rounds to 1024 is 1 of the next.
  while (value >= 1023.5L && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return (unit == 0 ? std::to_string(bytes) : three_digits(value)) + kUnits[unit];
}

std::string human_duration(int64_t seconds, int32_t nanos) {
  if (seconds < 0 || nanos < 0) {
    if (seconds == INT64_MIN || nanos == INT32_MIN) return std::to_string(seconds) + "s";
    return "-" + human_duration(-seconds, -nanos);
  }
  if (seconds < 60) {
    long double value = static_cast<long double>(seconds) * 1e9L + nanos;
    for (const auto& [size, unit] :
         {std::pair<long double, const char*>{1e9L, "s"}, {1e6L, "ms"}, {1e3L, "us"}}) {
      if (value >= size) return three_digits(value / size) + unit;
    }
    return value == 0 ? "0s" : std::to_string(nanos) + "ns";
  }
  static constexpr std::array<std::pair<int64_t, const char*>, 4> kUnits = {
      {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}}};
  std::string text;
  for (size_t i = 0; i < kUnits.size(); ++i) {
    if (seconds < kUnits[i].first) continue;
    text = std::to_string(seconds / kUnits[i].first) + kUnits[i].second;
    if (i + 1 < kUnits.size()) {
      int64_t next = seconds % kUnits[i].first / kUnits[i + 1].first;
      if (next > 0) text += std::to_string(next) + kUnits[i + 1].second;
    }
    break;
  }
  return text;
}

std::string human_number(long double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
  if (number == 0 || (std::fabs(number) >= 1e-3L && std::fabs(number) < 1e15L)) {
    return rounded(number, 3);
  }
  std::array<char, 64> text{};
  (void)std::snprintf(text.data(), text.size(), "%.3Lg", number);
  return text.data();
}

}  // namespace imctl::host::cli
