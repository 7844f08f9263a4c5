#include "cli/pieces.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace imctl::host::cli {
namespace {

constexpr size_t kPiece = size_t{256} << 10U;

}  // namespace

PieceReader::~PieceReader() {
  if (owned_) ::close(fd_);
}

Status PieceReader::fail(int error) const {
  return {IMCTL_INVALID_ARGUMENT, name_ + ": " + ::strerror(error)};
}

Result<std::string> PieceReader::next() {
  if (fd_ < 0) {
    fd_ = ::open(name_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) return fail(errno);
    owned_ = true;
  }
  std::string piece(kPiece, '\0');
  size_t size = 0;
  while (size < piece.size()) {
    const ssize_t n = ::read(fd_, piece.data() + size, piece.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  piece.resize(size);
  return piece;
}

}  // namespace imctl::host::cli
