// Times as RFC 3339 and XEP-0082 have them: "2024-02-29T12:00:00.123Z".
#ifndef IMCTL_BACKUP_TIME_TEXT_H
#define IMCTL_BACKUP_TIME_TEXT_H

#include <google/protobuf/timestamp.pb.h>

#include <optional>
#include <string>

namespace imctl::backup {

std::optional<google::protobuf::Timestamp> parse_time(const std::string& text);
// In UTC, to the millisecond.
std::string format_time(const google::protobuf::Timestamp& time);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_TIME_TEXT_H
