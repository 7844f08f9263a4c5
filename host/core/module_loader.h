// Finds modules and loads their code.
#ifndef IMCTL_HOST_CORE_MODULE_LOADER_H
#define IMCTL_HOST_CORE_MODULE_LOADER_H

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/module_file.h"
#include "core/module_trust.h"
#include "imctl/module.h"
#include "imctl/status.h"

namespace imctl::host {

// The folders where an installation has its modules.
std::vector<std::string> default_module_path();

// The program that runs isolated modules.
std::string runner_path();

// The shared objects in those folders, by name; the first folder counts. None is looked into.
std::map<std::string, std::string> installed_modules(const std::vector<std::string>& folders);

// The module of that name in those folders. An error says what there is.
Result<ModuleFile> find_module(const std::string& name, const std::vector<std::string>& folders);

// What is given to the dynamic linker: a private copy of a module's file, removed with the object.
// So whatever happens to the original, what was checked is what runs, and a new version may be
// loaded beside it. Where there is no room for a copy, the file itself.
class LoadableFile {
 public:
  LoadableFile(std::string path, bool is_copy) : path_(std::move(path)), is_copy_(is_copy) {}
  LoadableFile(LoadableFile&& other) noexcept
      : path_(std::exchange(other.path_, {})), is_copy_(other.is_copy_) {}
  LoadableFile& operator=(LoadableFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(is_copy_, other.is_copy_);
    return *this;
  }
  ~LoadableFile();
  const std::string& path() const { return path_; }
  bool is_copy() const { return is_copy_; }

 private:
  std::string path_;
  bool is_copy_;
};

// Makes the copy below `folder`. Errors: who else may change the file; that it is not signed, if it
// must be; that it is not what was looked at.
Result<LoadableFile> make_loadable(const ModuleFile& file, const std::string& folder,
                                   const TrustPolicy& trust);

struct LoadedCode {
  std::shared_ptr<const void> code;  // keeps it mapped
  const imctl_module* module = nullptr;
};
// Loads the shared object and asks it for its module. `name` is what errors call it. `stays` is
// told if the code is still mapped after it was let go of.
Result<LoadedCode> load_code(LoadableFile file, const std::string& name,
                             std::function<void(const std::string&)> stays);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_MODULE_LOADER_H
