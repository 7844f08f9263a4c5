// An ELF file that is open for reading, for libelf.
#ifndef IMCTL_HOST_CORE_ELF_FILE_H
#define IMCTL_HOST_CORE_ELF_FILE_H

#include <fcntl.h>
#include <libelf.h>
#include <unistd.h>

#include <string>

namespace imctl::host {

class ElfFile {
 public:
  explicit ElfFile(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) return;  // errno says why
    elf_version(EV_CURRENT);
    elf_ = elf_begin(fd_, ELF_C_READ, nullptr);
  }
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;
  ~ElfFile() {
    elf_end(elf_);
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }     // negative: it cannot be opened
  Elf* get() const { return elf_; }  // nullptr: it is none

 private:
  const int fd_;
  Elf* elf_ = nullptr;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_ELF_FILE_H
