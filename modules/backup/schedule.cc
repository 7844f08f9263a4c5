#include "schedule.h"

#include <charconv>
#include <ctime>

namespace imctl::backup {
namespace {

Status bad(const std::string& text) {
  return {IMCTL_INVALID_ARGUMENT,
          "schedule: `" + text + "` is no time: write `every 6h` or `at 03:00`"};
}

bool number(const std::string& text, size_t from, size_t to, int* value) {
  const auto [end, error] = std::from_chars(text.data() + from, text.data() + to, *value);
  return error == std::errc() && end == text.data() + to && *value >= 0;
}

}  // namespace

Result<ScheduleTime> ScheduleTime::parse(const std::string& text) {
  ScheduleTime time;
  time.text_ = text;
  if (text.starts_with("at ") && text.size() == 8 && text[5] == ':') {
    if (!number(text, 3, 5, &time.hour_) || !number(text, 6, 8, &time.minute_) || time.hour_ > 23 ||
        time.minute_ > 59) {
      return bad(text);
    }
    return time;
  }
  int count = 0;
  if (!text.starts_with("every ") || text.size() < 8 || !number(text, 6, text.size() - 1, &count) ||
      count == 0) {
    return bad(text);
  }
  switch (text.back()) {
    case 's': time.every_ = std::chrono::seconds(count); break;
    case 'm': time.every_ = std::chrono::minutes(count); break;
    case 'h': time.every_ = std::chrono::hours(count); break;
    case 'd': time.every_ = std::chrono::days(count); break;
    default: return bad(text);
  }
  return time;
}

WallTime ScheduleTime::next(WallTime after) const {
  if (every_.count() > 0) return after + every_;
  const std::time_t from = after.time_since_epoch().count();
  std::tm local{};
  ::localtime_r(&from, &local);
  for (int day = 0;; ++day) {
    std::tm then = local;
    then.tm_mday += day;
    then.tm_hour = hour_;
    then.tm_min = minute_;
    then.tm_sec = 0;
    then.tm_isdst = -1;
    const std::time_t at = ::mktime(&then);
    if (at > from) return WallTime(std::chrono::seconds(at));
  }
}

}  // namespace imctl::backup
