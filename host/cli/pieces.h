// A file in pieces, as it is read.
#ifndef IMCTL_HOST_CLI_PIECES_H
#define IMCTL_HOST_CLI_PIECES_H

#include <string>

#include "imctl/status.h"

namespace imctl::host::cli {

class PieceReader {
 public:
  // Nothing is opened before the first `next`.
  explicit PieceReader(std::string path) : name_(std::move(path)) {}
  // Reads from a descriptor that it does not close; `name` is for errors.
  PieceReader(int fd, std::string name) : name_(std::move(name)), fd_(fd) {}
  PieceReader(const PieceReader&) = delete;
  PieceReader& operator=(const PieceReader&) = delete;
  ~PieceReader();

  // Empty: the end. INVALID_ARGUMENT names the file.
  Result<std::string> next();

 private:
  Status fail(int error) const;

  const std::string name_;
  int fd_ = -1;
  bool owned_ = false;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_PIECES_H
