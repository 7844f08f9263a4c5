#include "cli/words.h"

#include <utility>

namespace imctl::host::cli {

Result<std::vector<std::string>> shell_words(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool begun = false;  // a word, which may be empty: ''
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (quote == '\'') {
      if (c == '\'')
        quote = 0;
      else
        word += c;
    } else if (quote == '"') {
      bool escapes = c == '\\' && i + 1 < line.size() &&
                     (line[i + 1] == '"' || line[i + 1] == '\\' || line[i + 1] == '$');
      if (c == '"')
        quote = 0;
      else
        word += escapes ? line[++i] : c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      begun = true;
    } else if (c == '\\') {
      if (i + 1 == line.size())
        return Status(IMCTL_INVALID_ARGUMENT, "nothing follows the last \\");
      word += line[++i];
      begun = true;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      if (begun) words.push_back(std::exchange(word, {}));
      begun = false;
    } else if (c == '#' && !begun) {
      break;
    } else {
      word += c;
      begun = true;
    }
  }
  if (quote != 0) {
    return Status(IMCTL_INVALID_ARGUMENT, std::string("the ") + quote + " does not end");
  }
  if (begun) words.push_back(std::move(word));
  return words;
}

}  // namespace imctl::host::cli
