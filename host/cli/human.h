// Numbers as people read them: rounded. Scripts get exact ones by -o json.
#ifndef IMCTL_HOST_CLI_HUMAN_H
#define IMCTL_HOST_CLI_HUMAN_H

#include <cstdint>
#include <string>

namespace imctl::host::cli {

// "512", "64KiB", "11.8MiB".
std::string human_bytes(uint64_t bytes);

// Its two largest units: "3d4h", "2m5s"; below a minute three digits: "1.25s", "250ms", "17us".
std::string human_duration(int64_t seconds, int32_t nanos);

// At most three digits behind the point, as far as there are any: "0.125", "1234567.5", "2e-07".
std::string human_number(long double number);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_HUMAN_H
