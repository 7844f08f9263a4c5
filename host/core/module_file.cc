#include "core/module_file.h"

#include <gelf.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <set>

#include "core/elf_file.h"
#include "road/rules.h"

namespace imctl::host {
namespace {

constexpr std::string_view kSection = ".imctl.manifest";

std::string_view section_bytes(Elf_Scn* section) {
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || data->d_buf == nullptr) return {};
  return {static_cast<const char*>(data->d_buf), data->d_size};
}

std::vector<std::string> needed_libraries(Elf* elf, Elf_Scn* section, const GElf_Shdr& header) {
  std::vector<std::string> needed;
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || header.sh_entsize == 0) return needed;
  for (size_t i = 0; i < header.sh_size / header.sh_entsize; ++i) {
    GElf_Dyn entry;
    if (gelf_getdyn(data, static_cast<int>(i), &entry) == nullptr || entry.d_tag == DT_NULL) break;
    if (entry.d_tag != DT_NEEDED) continue;
    if (const char* name = elf_strptr(elf, header.sh_link, entry.d_un.d_val))
      needed.emplace_back(name);
  }
  return needed;
}

struct ElfView {
  std::optional<std::string> manifest;
  std::vector<std::string> needed;
  std::string identity;
};

Result<ElfView> read_elf(const std::string& path) {
  const ElfFile elf(path);
  if (elf.fd() < 0) {
    return Status(errno == ENOENT ? IMCTL_NOT_FOUND : IMCTL_FAILED_PRECONDITION,
                  path + ": " + std::strerror(errno));
  }
  GElf_Ehdr header;
  if (elf.get() == nullptr || elf_kind(elf.get()) != ELF_K_ELF ||
      gelf_getehdr(elf.get(), &header) == nullptr || header.e_type != ET_DYN) {
    return Status(IMCTL_INVALID_ARGUMENT, path + ": not a shared object");
  }
  size_t names = 0;
  if (elf_getshdrstrndx(elf.get(), &names) != 0) {
    return Status(IMCTL_INVALID_ARGUMENT, path + ": a shared object without section names");
  }
  ElfView view;
  struct stat info {};
  fstat(elf.fd(), &info);
  for (int64_t part :
       {static_cast<int64_t>(info.st_dev), static_cast<int64_t>(info.st_ino),
        static_cast<int64_t>(info.st_size), static_cast<int64_t>(info.st_mtim.tv_sec),
        static_cast<int64_t>(info.st_mtim.tv_nsec)}) {
    view.identity += std::to_string(part) + ".";
  }
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf.get(), section)) != nullptr;) {
    GElf_Shdr shape;
    if (gelf_getshdr(section, &shape) == nullptr) continue;
    const char* name = elf_strptr(elf.get(), names, shape.sh_name);
    if (name != nullptr && kSection == name) view.manifest = section_bytes(section);
    if (shape.sh_type == SHT_DYNAMIC) view.needed = needed_libraries(elf.get(), section, shape);
  }
  return view;
}

// Protobuf's symbols have no versions: another one in this process would be bound to ours. The
// runtimes' file names, "libprotobuf.so.32" and "libprotobuf-lite.so.32", from ".so" on. Not that
// of C, libprotobuf-c, which shares nothing with them.
std::string protobuf_version(const std::vector<std::string>& needed) {
  for (const std::string& library : needed) {
    for (std::string_view runtime : {"libprotobuf.so", "libprotobuf-lite.so"}) {
      if (library.starts_with(runtime)) return library.substr(library.find(".so"));
    }
  }
  return {};
}

const std::string& own_protobuf_version() {
  static const std::string version = [] {
    Result<ElfView> self = read_elf("/proc/self/exe");
    return self.ok() ? protobuf_version(self->needed) : std::string();
  }();
  return version;
}

bool good_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name[0] >= 'a' && name[0] <= 'z' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

}  // namespace

std::string_view abi_pin() { return IMCTL_ABI_PIN; }

Result<Manifest> parse_manifest(std::string_view bytes) {
  Manifest manifest;
  if (!manifest.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return Status(IMCTL_DATA_LOSS, "its manifest is not a valid imctl.Manifest");
  }
  return manifest;
}

Result<ModuleFile> read_module_file(const std::string& path) {
  Result<ElfView> elf = read_elf(path);
  if (!elf.ok()) return elf.status();
  if (!elf->manifest) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  path + ": not an imctl module: it has no section " + std::string(kSection) +
                      " (build it with imctl_add_module)" + named(Rule::kModule));
  }
  ModuleFile module;
  module.path = path;
  module.needed = std::move(elf->needed);
  module.identity = std::move(elf->identity);
  module.manifest_bytes = std::move(*elf->manifest);
  Result<Manifest> manifest = parse_manifest(module.manifest_bytes);
  if (!manifest.ok())
    return Status(manifest.status().code(), path + ": " + manifest.status().message());
  module.manifest = std::move(*manifest);
  return module;
}

Status check_manifest(const ModuleFile& file) {
  const Manifest& manifest = file.manifest;
  auto refuse = [&](const std::string& why) {
    return Status(IMCTL_FAILED_PRECONDITION, file.path + ": " + why);
  };
  if (!good_name(manifest.name())) {
    return refuse(
        "its manifest gives the name '" + manifest.name() +
        "': a module's name is of a-z, 0-9 and '-', at most 64, and starts with a letter" +
        named(Rule::kModule));
  }
  if (constexpr int64_t kAbi = IMCTL_ABI; manifest.abi_min() > kAbi || manifest.abi_max() < kAbi) {
    return refuse("it is built for module ABI " + std::to_string(manifest.abi_min()) + " to " +
                  std::to_string(manifest.abi_max()) + " and this host has " +
                  std::to_string(IMCTL_ABI) +
                  (manifest.abi_min() > IMCTL_ABI ? ": use a newer host"
                                                  : ": rebuild it with this host's SDK") +
                  named(Rule::kAbi));
  }
  if (IMCTL_ABI == 0 && manifest.abi_pin() != abi_pin()) {
    return refuse("it is built with another module.h (" + manifest.abi_pin().substr(0, 12) +
                  "..., this host's is " + std::string(abi_pin().substr(0, 12)) +
                  "...) and ABI 0 is pinned to the exact header: rebuild it with this host's SDK" +
                  named(Rule::kAbi));
  }
  std::set<std::string> served;
  for (const std::string& service : manifest.serves()) {
    if (!served.insert(service).second)
      return refuse("its manifest serves " + service + " twice" + named(Rule::kDescriptors));
  }
  return {};
}

Status check_libraries(const ModuleFile& file) {
  std::string protobuf = protobuf_version(file.needed);
  if (protobuf.empty() || own_protobuf_version().empty() || protobuf == own_protobuf_version()) {
    return {};
  }
  return {IMCTL_FAILED_PRECONDITION,
          file.path + ": it needs libprotobuf" + protobuf + " and this host has libprotobuf" +
              own_protobuf_version() +
              ": rebuild it with the same protobuf, or give it a process of its own (isolate = "
              "process in section [" +
              file.manifest.name() + "])" + named(Rule::kLibraries)};
}

}  // namespace imctl::host
