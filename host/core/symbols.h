// The functions of an ELF file, by where they are.
#ifndef IMCTL_HOST_CORE_SYMBOLS_H
#define IMCTL_HOST_CORE_SYMBOLS_H

#include <cstdint>
#include <string>
#include <vector>

namespace imctl::host {

class Symbols {
 public:
  // None if the file cannot be read.
  static Symbols read(const std::string& file);

  // The function that has `offset`, counted from where the file is loaded; empty if none is known.
  std::string function_at(uint64_t offset) const;

 private:
  struct Function {
    uint64_t begin;
    uint64_t size;
    std::string name;  // as the linker has it
  };
  std::vector<Function> functions_;  // by begin
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_SYMBOLS_H
