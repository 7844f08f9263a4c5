#include "check/elf_symbols.h"

#include <gelf.h>

#include <cerrno>
#include <system_error>

#include "core/elf_file.h"

namespace imctl::host {
namespace {

void add(const GElf_Sym& symbol, const char* name, ElfSymbols* to) {
  unsigned char binding = GELF_ST_BIND(symbol.st_info);
  unsigned char visibility = GELF_ST_VISIBILITY(symbol.st_other);
  if (name == nullptr || *name == '\0' || symbol.st_shndx == SHN_UNDEF || binding == STB_LOCAL ||
      visibility == STV_HIDDEN || visibility == STV_INTERNAL) {
    return;
  }
  to->exported.emplace_back(name);
  if (binding == STB_GNU_UNIQUE) to->unique.emplace_back(name);
}

}  // namespace

Result<ElfSymbols> read_symbols(const std::string& path) {
  const ElfFile elf(path);
  if (elf.fd() < 0) {
    return Status(IMCTL_FAILED_PRECONDITION, path + ": " + std::generic_category().message(errno));
  }
  if (elf.get() == nullptr) return Status(IMCTL_INVALID_ARGUMENT, path + ": not a shared object");
  ElfSymbols symbols;
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf.get(), section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_DYNSYM) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    if (data == nullptr || header.sh_entsize == 0) continue;
    for (size_t i = 0; i < header.sh_size / header.sh_entsize; ++i) {
      GElf_Sym symbol;
      if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) break;
      add(symbol, elf_strptr(elf.get(), header.sh_link, symbol.st_name), &symbols);
    }
  }
  return symbols;
}

}  // namespace imctl::host
