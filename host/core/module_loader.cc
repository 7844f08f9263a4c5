#include "core/module_loader.h"

#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <boost/dll/runtime_symbol_info.hpp>
#include <boost/dll/shared_library.hpp>
#include <filesystem>
#include <map>

#include "road/rules.h"

namespace imctl::host {
namespace {

namespace fs = std::filesystem;

std::string join(const std::vector<std::string>& parts, const char* separator) {
  std::string text;
  for (const std::string& part : parts) text.append(text.empty() ? "" : separator).append(part);
  return text;
}

std::vector<std::string> shared_objects(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".so") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// The same in a build tree, an installation and one that was moved. This code may also be in a
// library, in a program that tests modules.
fs::path library_folder() {
  // Of a program it is what it was called with, which need not be where it is.
  fs::path self = boost::dll::this_line_location().string();
  if (self.filename() == "libimctl-testing.so") return self.parent_path();
  fs::path program = boost::dll::program_location().string();
  if (program.filename() == "imctl-host") return program.parent_path();
  return program.parent_path().parent_path() / "lib" / "imctl";
}

}  // namespace

std::vector<std::string> default_module_path() { return {(library_folder() / "modules").string()}; }

std::string runner_path() { return (library_folder() / "imctl-runner").string(); }

std::map<std::string, std::string> installed_modules(const std::vector<std::string>& folders) {
  std::map<std::string, std::string> found;
  for (const std::string& folder : folders) {
    for (const std::string& path : shared_objects(folder)) {
      found.emplace(fs::path(path).stem().string(), path);
    }
  }
  return found;
}

Result<ModuleFile> find_module(const std::string& name, const std::vector<std::string>& folders) {
  std::map<std::string, std::string> installed = installed_modules(folders);
  auto found = installed.find(name);
  if (found != installed.end()) return read_module_file(found->second);
  std::vector<std::string> available;
  available.reserve(installed.size());
  for (const auto& [known, path] : installed) available.push_back(known);
  return Status(
      IMCTL_NOT_FOUND,
      "there is no " + name + ".so in " +
          (folders.empty() ? "an empty module_path" : join(folders, ", ")) + "; there " +
          (available.empty() ? "are no modules at all (host.module_path names the folders)"
                             : "are: " + join(available, ", ")));
}

LoadableFile::~LoadableFile() {
  if (path_.empty() || !is_copy_) return;
  std::error_code ignored;
  fs::remove_all(fs::path(path_).parent_path(), ignored);
}

Result<LoadableFile> make_loadable(const ModuleFile& file, const std::string& folder,
                                   const TrustPolicy& trust) {
  Result<OpenedModule> opened = open_trusted(file.path, trust);
  if (!opened.ok()) return opened.status();
  // A folder each: the loader knows shared objects by path, and people by file name.
  static std::atomic<uint64_t> next{0};
  fs::path own = fs::path(folder) / std::to_string(next.fetch_add(1));
  std::error_code error;
  fs::remove_all(own, error);
  fs::create_directories(own, error);
  LoadableFile copy((own / (file.manifest.name() + ".so")).string(), true);
  // Ours alone, whatever the original's mode and the mask.
  if (!error) fs::permissions(folder, fs::perms::owner_all, error);
  if (!error) fs::copy_file("/proc/self/fd/" + std::to_string(opened->fd()), copy.path(), error);
  if (!error) fs::permissions(copy.path(), fs::perms::owner_read, error);
  if (error) {
    // A full disk must not keep a host from starting. But a second copy of what is loaded already
    // would be the first one again, and one that is signed must be the very bytes that were looked
    // at.
    void* loaded = dlopen(file.path.c_str(), RTLD_NOLOAD | RTLD_LAZY);
    if (loaded == nullptr && !trust.require_signatures) return LoadableFile(file.path, false);
    if (loaded != nullptr) dlclose(loaded);
    return Status(IMCTL_RESOURCE_EXHAUSTED,
                  file.path + ": cannot be copied to " + copy.path() + ": " + error.message());
  }
  if (Status place = check_place(copy.path()); !place.ok()) return place;
  Result<ModuleFile> copied = read_module_file(copy.path());
  if (!copied.ok()) return copied.status();
  if (copied->manifest_bytes != file.manifest_bytes) {
    return Status(IMCTL_ABORTED, file.path + ": it changed while it was being loaded: try again");
  }
  return copy;
}

Result<LoadedCode> load_code(LoadableFile file, const std::string& name,
                             std::function<void(const std::string&)> stays) {
  struct Library {
    boost::dll::shared_library library;
    LoadableFile file;
    std::function<void(const std::string&)> stays;

    Library(boost::dll::shared_library opened, LoadableFile from,
            std::function<void(const std::string&)> told)
        : library(std::move(opened)), file(std::move(from)), stays(std::move(told)) {}
    ~Library() {
      library.unload();
      // The linker knows it by its name as long as it is mapped.
      void* left = file.is_copy() ? dlopen(file.path().c_str(), RTLD_NOLOAD | RTLD_LAZY) : nullptr;
      if (left == nullptr) return;
      dlclose(left);
      stays(file.path() +
            " is still mapped after the module was unloaded: a thread_local with a destructor, a "
            "unique symbol or a library of its own holds it" +
            named(Rule::kUnmapped));
    }
  };
  try {
    // One object that stays: a copy would open the path again, and maybe another file.
    boost::dll::shared_library library(
        file.path(), boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
    auto loaded = std::make_shared<Library>(std::move(library), std::move(file), std::move(stays));
    const imctl_module* module = loaded->library.get<const imctl_module*()>(IMCTL_MODULE_ENTRY)();
    if (module == nullptr) {
      return Status(IMCTL_FAILED_PRECONDITION, name + ": it refuses to be loaded here");
    }
    return LoadedCode{std::move(loaded), module};
  } catch (const std::exception& e) {
    return Status(IMCTL_FAILED_PRECONDITION, name + ": cannot be loaded: " + e.what());
  }
}

}  // namespace imctl::host
