// What the system knows of this process and of folders.
#ifndef IMCTL_HOST_CORE_PROCESS_FACTS_H
#define IMCTL_HOST_CORE_PROCESS_FACTS_H

#include <cstdint>
#include <string>

namespace imctl::host {

struct ProcessFacts {
  uint64_t resident = 0;  // bytes
  uint32_t threads = 0;
  uint32_t open_files = 0;
};
ProcessFacts process_facts();

// Bytes that the files in it and below take on the disk. What cannot be read counts as nothing. May
// take long.
uint64_t folder_size(const std::string& folder);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_PROCESS_FACTS_H
