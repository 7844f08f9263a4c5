#include "core/module_loader.h"

#include <algorithm>
#include <boost/dll/runtime_symbol_info.hpp>
#include <boost/dll/shared_library.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <set>

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

Result<ModuleFile> find_module(const std::string& name, const std::vector<std::string>& folders) {
  std::vector<std::string> available;
  for (const std::string& folder : folders) {
    for (const std::string& path : shared_objects(folder)) {
      if (fs::path(path).stem() == name) return read_module_file(path);
      available.push_back(fs::path(path).stem().string());
    }
  }
  return Status(
      IMCTL_NOT_FOUND,
      "there is no " + name + ".so in " +
          (folders.empty() ? "an empty module_path" : join(folders, ", ")) + "; there " +
          (available.empty() ? "are no modules at all (host.module_path names the folders)"
                             : "are: " + join(available, ", ")));
}

// A depth-first walk along the requirements.
class Ordering {
 public:
  Ordering(std::vector<ModuleFile> files, const Manifest& builtin) : files_(std::move(files)) {
    for (const std::string& service : builtin.serves()) server_[service] = kBuiltin;
  }

  Result<std::vector<ModuleFile>> run() {
    for (size_t i = 0; i < files_.size(); ++i) {
      const Manifest& manifest = files_[i].manifest;
      for (const std::string& service : manifest.serves()) {
        auto [at, fresh] = server_.emplace(service, i);
        if (!fresh) {
          return Status(IMCTL_FAILED_PRECONDITION, "modules " + name(at->second) + " and " +
                                                       manifest.name() + " both serve " + service +
                                                       ": leave one out of host.modules");
        }
      }
    }
    state_.resize(files_.size());
    for (size_t i = 0; i < files_.size(); ++i) {
      Status status = visit(i);
      if (!status.ok()) return status;
    }
    std::vector<ModuleFile> ordered;
    for (size_t i : order_) ordered.push_back(std::move(files_[i]));
    return ordered;
  }

 private:
  static constexpr size_t kBuiltin = SIZE_MAX;
  enum State { kNew, kOpen, kDone };

  std::string name(size_t i) const { return i == kBuiltin ? "host" : files_[i].manifest.name(); }

  Status visit(size_t i) {
    if (state_[i] == kDone) return {};
    state_[i] = kOpen;
    path_.push_back(i);
    for (const Requirement& requirement : files_[i].manifest.needs()) {
      auto found = server_.find(requirement.service());
      if (found == server_.end()) {
        if (requirement.optional()) continue;
        return {IMCTL_FAILED_PRECONDITION,
                "module " + name(i) + " requires " + requirement.service() +
                    ", which no loaded module serves: add one that does to "
                    "host.modules"};
      }
      size_t next = found->second;
      if (next == kBuiltin || next == i) continue;
      if (state_[next] == kOpen) {
        if (requirement.optional()) continue;
        return {IMCTL_FAILED_PRECONDITION,
                "modules require each other in a circle: " + circle(next)};
      }
      Status status = visit(next);
      if (!status.ok()) return status;
    }
    path_.pop_back();
    state_[i] = kDone;
    order_.push_back(i);
    return {};
  }

  std::string circle(size_t from) const {
    std::string text;
    for (auto at = std::find(path_.begin(), path_.end(), from); at != path_.end(); ++at) {
      text += name(*at) + " -> ";
    }
    return text + name(from);
  }

  std::vector<ModuleFile> files_;
  std::map<std::string, size_t> server_;
  std::vector<State> state_;
  std::vector<size_t> path_;
  std::vector<size_t> order_;
};

}  // namespace

std::vector<std::string> default_module_path() {
  // The same in a build tree, an installation and one that was moved.
  fs::path program = boost::dll::program_location().string();
  return {(program.parent_path().parent_path() / "lib" / "imctl" / "modules").string()};
}

Result<std::vector<ModuleFile>> find_modules(const std::vector<std::string>& names,
                                             const std::vector<std::string>& folders) {
  std::vector<ModuleFile> files;
  auto add = [&](Result<ModuleFile> file) -> Status {
    if (!file.ok()) return file.status();
    Status status = check_loadable(*file);
    if (status.ok()) files.push_back(std::move(*file));
    return status;
  };
  if (names.empty()) {
    for (const std::string& folder : folders) {
      for (const std::string& path : shared_objects(folder)) {
        Status status = add(read_module_file(path));
        if (!status.ok()) return status;
      }
    }
  }
  for (const std::string& name : names) {
    Status status = add(find_module(name, folders));
    if (!status.ok()) return status;
    if (files.back().manifest.name() != name) {
      return Status(IMCTL_FAILED_PRECONDITION, files.back().path + ": its manifest calls it " +
                                                   files.back().manifest.name() + ", not " + name);
    }
  }
  std::map<std::string, std::string> seen = {{"host", "the program itself"}};
  for (const ModuleFile& file : files) {
    auto [at, fresh] = seen.emplace(file.manifest.name(), file.path);
    if (!fresh) {
      return Status(IMCTL_FAILED_PRECONDITION, "two modules are called " + at->first + ": " +
                                                   at->second + " and " + file.path);
    }
  }
  return files;
}

Result<std::vector<ModuleFile>> order_modules(std::vector<ModuleFile> files,
                                              const Manifest& builtin) {
  return Ordering(std::move(files), builtin).run();
}

Result<LoadedCode> load_code(const ModuleFile& file) {
  try {
    // One object that stays: a copy would open the path again, and maybe another file.
    auto library = std::make_shared<boost::dll::shared_library>(
        file.path, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
    const imctl_module* module = library->get<const imctl_module*()>(IMCTL_MODULE_ENTRY)();
    if (module == nullptr) {
      return Status(IMCTL_FAILED_PRECONDITION, file.path + ": it refuses to be loaded here");
    }
    return LoadedCode{std::move(library), module};
  } catch (const std::exception& e) {
    return Status(IMCTL_FAILED_PRECONDITION, file.path + ": cannot be loaded: " + e.what());
  }
}

}  // namespace imctl::host
