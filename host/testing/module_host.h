// A host in this process over a module under test: what <imctl/testing.h> and the validator stand
// on.
#ifndef IMCTL_HOST_TESTING_MODULE_HOST_H
#define IMCTL_HOST_TESTING_MODULE_HOST_H

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/host.h"
#include "core/module_file.h"
#include "road/waiting_call.h"

namespace imctl::host {

// A folder that is removed with the object.
class TemporaryFolder {
 public:
  // Below `parent`, with a name of its own.
  static Result<TemporaryFolder> make(const std::string& parent);
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// Installed modules that run unasked, by the services that they serve.
std::map<std::string, Manifest> installed_providers();

class ModuleHost {
 public:
  enum class Store { kNone, kMemory, kSqlite };
  struct Options {
    // Paths of shared objects, or names of installed modules, which have no '/'.
    std::vector<std::string> modules;
    Store store = Store::kNone;
    std::vector<std::string> settings;  // "section.key=value"
    std::string folder;                 // of the data; empty: a temporary one
    bool isolate = false;               // whether modules given by path get a process of their own
  };

  static Result<std::unique_ptr<ModuleHost>> open(const Options& options);

  Host& host() { return *host_; }
  // The modules that were given by path.
  const std::vector<std::string>& under_test() const { return under_test_; }

  // A call that has been started; `request` absent: the client streams.
  std::unique_ptr<WaitingCall> start(const std::string& method,
                                     const std::optional<std::string>& request, CallParams params);
  // Puts a new copy of the module in the place of itself, as `imctl module reload` does.
  Status reload(const std::string& module);
  // Lines of the log so far that contain `text`.
  std::vector<std::string> logged(const std::string& text) const;
  // Stops it. An error says what of a module did not stop as it should, or is still mapped.
  Status close();

 private:
  ModuleHost() = default;

  std::optional<TemporaryFolder> folder_;
  std::vector<std::string> under_test_;
  std::unique_ptr<Host> host_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_TESTING_MODULE_HOST_H
