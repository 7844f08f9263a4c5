// How values are written by people: "90s", "64KiB", "yes". Used for settings and for tables.
#ifndef IMCTL_HOST_CORE_VALUE_FORMAT_H
#define IMCTL_HOST_CORE_VALUE_FORMAT_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace imctl::host {

// What does not parse gives nothing; the caller knows what to call it and whether it may be shown.
// Blanks at either end are not accepted.

// "true", "yes", "on", "1" and their opposites, in any case.
std::optional<bool> parse_bool(std::string_view text);

// Decimal numbers; a sign '-' only, no '+'. Out of range is nothing too.
std::optional<int64_t> parse_int(std::string_view text);
std::optional<uint64_t> parse_uint(std::string_view text);
// As above with a fraction or an exponent; finite.
std::optional<double> parse_double(std::string_view text);

// Numbers with units, one after another: "90s", "1.5h", "1h30m", "250ms", "7d"; "0". Units: ns, us,
// ms, s, m, h, d. In nanoseconds, so up to 292 years.
std::optional<int64_t> parse_duration(std::string_view text);
// The shortest exact form: "168h" and "7d" are both "7d", 90 seconds are "1m30s".
std::string format_duration(int64_t nanoseconds);

// "4096", "64KiB", "1.5GB": B, KB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024, in
// any case. A bare "K" or "M" is not accepted, since people disagree about it.
std::optional<uint64_t> parse_bytes(std::string_view text);
// Exact, with the largest unit that divides it: "64KiB", "1GB", "4097".
std::string format_bytes(uint64_t bytes);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_VALUE_FORMAT_H
