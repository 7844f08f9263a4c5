#include "cli/token.h"

#include <algorithm>

#include "cli/field_value.h"

namespace imctl::host::cli {

Result<std::string> read_token(const std::string& file) {
  if (file.empty()) return std::string();
  Result<std::string> token = read_file(file);
  if (!token.ok()) return token;
  token->erase(std::min(token->find_last_not_of(" \t\r\n") + 1, token->size()));
  bool plain = !token->empty() &&
               std::all_of(token->begin(), token->end(), [](char c) { return c > ' ' && c < 127; });
  if (!plain) return Status(IMCTL_INVALID_ARGUMENT, file + ": a token is one line without blanks");
  return token;
}

}  // namespace imctl::host::cli
