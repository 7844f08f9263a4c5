// A module's shared object, looked at without running any of its code.
#ifndef IMCTL_HOST_CORE_MODULE_FILE_H
#define IMCTL_HOST_CORE_MODULE_FILE_H

#include <string>
#include <string_view>
#include <vector>

#include "imctl/manifest.pb.h"
#include "imctl/status.h"

namespace imctl::host {

// The SHA-256 of the module.h that this program was built with.
std::string_view abi_pin();

struct ModuleFile {
  std::string path;  // empty: built into the program
  Manifest manifest;
  std::string manifest_bytes;       // all of it
  std::vector<std::string> needed;  // DT_NEEDED
  std::string identity;             // differs when another file has taken the path
};

// Reads the manifest and what the dynamic linker would. An error names the file and what it lacks.
Result<ModuleFile> read_module_file(const std::string& path);

// From the bytes of a manifest section.
Result<Manifest> parse_manifest(std::string_view bytes);

// Does it fit this host: ABI, names? Says in words why not and what to do.
Status check_manifest(const ModuleFile& file);
// Can it be in this process: are its libraries this program's own?
Status check_libraries(const ModuleFile& file);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_MODULE_FILE_H
