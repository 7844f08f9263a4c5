#include "grpc/remote_catalog.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "core/sha256.h"
#include "grpc/node_credential.h"

namespace imctl::host {
namespace {

using google::protobuf::FileDescriptorProto;

bool serves(const Manifest& manifest, const std::string& service) {
  return std::find(manifest.serves().begin(), manifest.serves().end(), service) !=
         manifest.serves().end();
}

std::string full_name(const FileDescriptorProto& file, int service) {
  const std::string& name = file.service(service).name();
  return file.package().empty() ? name : file.package() + "." + name;
}

// Puts the files that several modules' services need into one set.
class Merge {
 public:
  Merge(const std::vector<std::string>& services, Manifest* into)
      : services_(services.begin(), services.end()), into_(into) {}

  void add(const Manifest& module) {
    std::map<std::string, const FileDescriptorProto*> files;
    for (const FileDescriptorProto& file : module.file()) files.emplace(file.name(), &file);
    std::vector<const FileDescriptorProto*> open;
    std::set<std::string> taken;
    for (const auto& [name, file] : files) {
      if (brings(*file, module) && taken.insert(name).second) open.push_back(file);
    }
    while (!open.empty()) {
      const FileDescriptorProto& file = *open.back();
      open.pop_back();
      put(file, module);
      for (const std::string& import : file.dependency()) {
        auto found = files.find(import);
        if (found != files.end() && taken.insert(import).second) open.push_back(found->second);
      }
    }
  }

 private:
  // Is one of the services that are asked for, and that this module serves, in it?
  bool brings(const FileDescriptorProto& file, const Manifest& module) const {
    for (int i = 0; i < file.service_size(); ++i) {
      std::string name = full_name(file, i);
      if (services_.count(name) != 0 && serves(module, name)) return true;
    }
    return false;
  }

  void put(const FileDescriptorProto& file, const Manifest& module) {
    if (names_.insert(file.name()).second) {
      *into_->add_file() = file;
    } else if (brings(file, module)) {
      // Another module has a file of that path, maybe with other content.
      FileDescriptorProto* own = into_->add_file();
      *own = file;
      own->set_name(module.name() + "/" + file.name());
    }
    // Else what both import: the first counts.
  }

  const std::set<std::string> services_;
  Manifest* const into_;
  std::set<std::string> names_;
};

std::string join(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

// Fills in what the catalog says of the services.
Status add_known(const std::string& address, const std::vector<std::string>& services,
                 const v1::GetCatalogResponse& catalog, Manifest* manifest) {
  std::vector<Manifest> modules;
  std::set<std::string> served;
  for (const std::string& bytes : catalog.manifests()) {
    Manifest module;
    if (!module.ParseFromString(bytes)) {
      return {IMCTL_FAILED_PRECONDITION, "[bind]: the catalog of the host at " + address +
                                             " cannot be read: is it of another version?"};
    }
    if (module.name() != "host") {
      served.insert(module.serves().begin(), module.serves().end());
    }
    modules.push_back(std::move(module));
  }
  for (const std::string& service : services) {
    bool found = std::any_of(modules.begin(), modules.end(),
                             [&](const Manifest& module) { return serves(module, service); });
    if (found) continue;
    return {IMCTL_FAILED_PRECONDITION,
            "[bind]: " + service + " = " + address + ": that host does not serve it; it serves " +
                (served.empty() ? "nothing but its own services" : join(served))};
  }
  Merge merge(services, manifest);
  std::set<std::string> versions;
  for (const Manifest& module : modules) {
    if (std::none_of(services.begin(), services.end(),
                     [&](const std::string& service) { return serves(module, service); })) {
      continue;
    }
    merge.add(module);
    versions.insert(module.version());
  }
  manifest->set_version(join(versions));
  return {};
}

// The data folder may not be there yet, and what is in it is nobody else's business.
void make_private_folders(const std::filesystem::path& folder) {
  std::filesystem::path at;
  for (const std::filesystem::path& part : folder) {
    at /= part;
    (void)::mkdir(at.c_str(), S_IRWXU);  // most are there
  }
}

// So that a change of what the connection is made with is a change of the module.
std::string digest_of(const RemoteSettings& settings) {
  std::string all;
  for (const std::string* one : {&settings.node, &settings.node_key, &settings.tls_ca,
                                 &settings.tls_cert, &settings.tls_key}) {
    all += std::to_string(one->size()) + ":" + *one;
  }
  return sha256_hex(all);
}

}  // namespace

Result<std::shared_ptr<RemoteDescription>> describe_remote(const std::string& address,
                                                           const std::vector<std::string>& services,
                                                           const RemoteSettings& settings,
                                                           const v1::GetCatalogResponse* catalog) {
  auto described = std::make_shared<RemoteDescription>();
  described->remote = address;
  described->settings = settings;
  described->config = digest_of(settings);
  Manifest& manifest = described->file.manifest;
  manifest.set_name(address);
  manifest.set_description("Another host");
  manifest.set_concurrent_copies(true);  // nothing here is exclusive
  for (const std::string& service : services) manifest.add_serves(service);
  if (catalog != nullptr) {
    Status status = add_known(address, services, *catalog, &manifest);
    if (!status.ok()) return status;
    described->digest = catalog->digest();
  }
  described->file.manifest_bytes = manifest.SerializeAsString();
  Result<std::shared_ptr<Descriptors>> descriptors = Descriptors::make(manifest);
  if (!descriptors.ok()) {
    return Status(IMCTL_FAILED_PRECONDITION, "[bind]: the services of the host at " + address +
                                                 " cannot be described together (" +
                                                 descriptors.status().message() +
                                                 "): bind those of one of its modules only");
  }
  described->descriptors = std::move(*descriptors);
  return described;
}

RemoteCache::RemoteCache(const std::string& folder, const std::string& address) : folder_(folder) {
  if (folder.empty()) return;
  std::string name;
  for (char c : address) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
    name += plain ? c : '_';
  }
  constexpr size_t kReadable = 80;
  constexpr size_t kDigest = 16;  // what is readable may be the same for two
  file_ = folder + "/" + name.substr(0, kReadable) + "-" + sha256_hex(address).substr(0, kDigest) +
          ".catalog";
}

std::optional<v1::GetCatalogResponse> RemoteCache::load() const {
  if (file_.empty()) return std::nullopt;
  std::ifstream in(file_, std::ios::binary);
  v1::GetCatalogResponse catalog;
  if (!in || !catalog.ParseFromIstream(&in) || catalog.manifests().empty()) return std::nullopt;
  return catalog;
}

void RemoteCache::store(const v1::GetCatalogResponse& catalog) const {
  if (file_.empty()) return;
  make_private_folders(folder_);
  std::error_code error;
  std::string temporary = file_ + ".XXXXXX";
  int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return;
  std::string bytes = catalog.SerializeAsString();
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  bool whole = done == bytes.size() && ::fsync(fd) == 0;
  whole = ::close(fd) == 0 && whole;
  if (whole) std::filesystem::rename(temporary, file_, error);
  if (!whole || error) std::filesystem::remove(temporary, error);
}

}  // namespace imctl::host
