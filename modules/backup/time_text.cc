#include "time_text.h"

#include <cstdio>
#include <ctime>

namespace imctl::backup {

std::optional<google::protobuf::Timestamp> parse_time(const std::string& text) {
  std::tm parts{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return std::nullopt;
  int nanos = 0;
  if (*rest == '.') {
    int digit = 100'000'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, digit /= 10) nanos += (*rest - '0') * digit;
  }
  int64_t seconds = ::timegm(&parts);
  if (*rest == 'Z' && rest[1] == '\0') {
    // as it is
  } else {
    int hours = 0;
    int minutes = 0;
    char sign = 0;
    int used = 0;
    if (std::sscanf(rest, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) != 3 ||
        (sign != '+' && sign != '-') || rest[used] != '\0') {
      return std::nullopt;
    }
    const int64_t offset = int64_t{hours} * 3600 + int64_t{minutes} * 60;
    seconds += sign == '-' ? offset : -offset;
  }
  google::protobuf::Timestamp time;
  time.set_seconds(seconds);
  time.set_nanos(nanos);
  return time;
}

std::string format_time(const google::protobuf::Timestamp& time) {
  const std::time_t at = time.seconds();
  std::tm parts{};
  ::gmtime_r(&at, &parts);
  char date[32];
  const size_t size = std::strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
  char fraction[8];
  std::snprintf(fraction, sizeof(fraction), ".%03dZ", time.nanos() / 1'000'000);
  return std::string(date, size) + fraction;
}

}  // namespace imctl::backup
