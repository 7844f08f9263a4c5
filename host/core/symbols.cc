#include "core/symbols.h"

#include <cxxabi.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace imctl::host {
namespace {

std::string demangled(const std::string& name) {
  int status = 0;
  std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 && text != nullptr ? text.get() : name;
}

}  // namespace

Symbols Symbols::read(const std::string& file) {
  Symbols symbols;
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return symbols;
  (void)elf_version(EV_CURRENT);
  Elf* elf = elf_begin(fd, ELF_C_READ, nullptr);
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr) continue;
    // A stripped file has the second only; where it has both, what is in both does no harm.
    if (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    if (data == nullptr || header.sh_entsize == 0) continue;
    const auto count = static_cast<int>(header.sh_size / header.sh_entsize);
    for (int i = 0; i < count; ++i) {
      GElf_Sym symbol;
      if (gelf_getsym(data, i, &symbol) == nullptr) continue;
      if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_value == 0) continue;
      const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
      if (name != nullptr) symbols.functions_.push_back({symbol.st_value, symbol.st_size, name});
    }
  }
  (void)elf_end(elf);
  (void)::close(fd);
  std::sort(symbols.functions_.begin(), symbols.functions_.end(),
            [](const Function& a, const Function& b) { return a.begin < b.begin; });
  return symbols;
}

std::string Symbols::function_at(uint64_t offset) const {
  auto next = std::upper_bound(
      functions_.begin(), functions_.end(), offset,
      [](uint64_t value, const Function& function) { return value < function.begin; });
  if (next == functions_.begin()) return {};
  const Function& function = *std::prev(next);
  if (offset >= function.begin + std::max<uint64_t>(function.size, 1)) return {};
  return demangled(function.name);
}

}  // namespace imctl::host
