// The symbols that a shared object shows to others.
#ifndef IMCTL_HOST_CHECK_ELF_SYMBOLS_H
#define IMCTL_HOST_CHECK_ELF_SYMBOLS_H

#include <string>
#include <vector>

#include "imctl/status.h"

namespace imctl::host {

struct ElfSymbols {
  std::vector<std::string> exported;
  std::vector<std::string> unique;  // of those, STB_GNU_UNIQUE
};

Result<ElfSymbols> read_symbols(const std::string& path);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CHECK_ELF_SYMBOLS_H
