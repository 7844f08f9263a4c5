#include "core/process_facts.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace imctl::host {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBlock = 512;  // what st_blocks counts

uint32_t entries_of(const char* folder) {
  std::error_code error;
  fs::directory_iterator at(folder, error);
  return error ? 0 : static_cast<uint32_t>(std::distance(fs::begin(at), fs::end(at)));
}

}  // namespace

ProcessFacts process_facts() {
  ProcessFacts facts;
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages >> pages;
  facts.resident = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  facts.threads = entries_of("/proc/self/task");
  facts.open_files = entries_of("/proc/self/fd");
  return facts;
}

uint64_t folder_size(const std::string& folder) {
  uint64_t size = 0;
  std::error_code error;
  constexpr auto kSkip = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator at(folder, kSkip, error), end; !error && at != end;
       at.increment(error)) {
    struct stat facts {};
    if (::lstat(at->path().c_str(), &facts) == 0) {
      size += static_cast<uint64_t>(facts.st_blocks) * kBlock;
    }
  }
  return size;
}

}  // namespace imctl::host
