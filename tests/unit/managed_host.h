// A host with a config file of its own, for tests of what changes it.
#ifndef IMCTL_TESTS_UNIT_MANAGED_HOST_H
#define IMCTL_TESTS_UNIT_MANAGED_HOST_H

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "in_process.h"

namespace imctl::host {

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class ManagedHost {
 public:
  // `config`: the file's content, but for the data folder.
  explicit ManagedHost(const std::string& config) : config_(config) { open(); }

  // As after a restart.
  void open() {
    host.reset();
    if (read_file(file()).empty()) write(config_);
    HostOptions options;
    options.config_file = file();
    options.set = {"host.data=" + folder_.path() + "/data"};
    options.quiet = true;
    Result<std::unique_ptr<Host>> opened = Host::open(options);
    status = opened.status();
    if (opened.ok()) host = std::move(*opened);
  }

  std::string file() const { return folder_.path() + "/imctl.conf"; }
  std::string text() const { return read_file(file()); }
  void write(const std::string& content) { std::ofstream(file()) << content; }
  const std::string& folder() const { return folder_.path(); }

  std::string version_of(const std::string& module) const {
    std::shared_ptr<Instance> found = host->find_module(module);
    return found == nullptr ? std::string() : manifest_of(*found).version();
  }

  Status status;
  std::unique_ptr<Host> host;

 private:
  TemporaryFolder folder_;
  const std::string config_;
};

}  // namespace imctl::host

#endif  // IMCTL_TESTS_UNIT_MANAGED_HOST_H
