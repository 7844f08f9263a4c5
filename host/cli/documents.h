// Splits a request file into its documents as it is read, so a stream can be sent while it comes.
#ifndef IMCTL_HOST_CLI_DOCUMENTS_H
#define IMCTL_HOST_CLI_DOCUMENTS_H

#include <optional>
#include <string>

#include "imctl/status.h"

namespace imctl::host::cli {

struct Document {
  std::string text;
  bool yaml = false;
  size_t line = 1;  // where it starts
};

// JSON objects one after another (jsonl too), or YAML documents with `---` between them. A file is
// JSON if it begins with `{`, and is not called .yaml or .yml.
class DocumentReader {
 public:
  // "-" is standard input. Nothing is opened before the first `next`.
  explicit DocumentReader(std::string path);
  // Reads from a descriptor that it does not close; `name` is for errors.
  DocumentReader(int fd, std::string name);
  ~DocumentReader();
  DocumentReader(const DocumentReader&) = delete;
  DocumentReader& operator=(const DocumentReader&) = delete;

  // For errors: the path, or "standard input".
  const std::string& name() const { return name_; }

  // Nothing: the end. Errors are INVALID_ARGUMENT and name the file and the line.
  Result<std::optional<Document>> next();

  // A line without its end; nothing: the end. Not to be mixed with `next`.
  Result<std::optional<std::string>> next_line();

 private:
  Status open();
  // Reads more into buffer_; sets ended_ at the end.
  Status more();
  void drop(size_t n);
  Status fail(const std::string& why) const;
  Result<std::optional<Document>> next_json();
  Result<std::optional<Document>> next_yaml();
  Status skip_blanks();

  std::string path_;
  std::string name_;
  int fd_ = -1;
  bool owned_ = false;
  bool ended_ = false;
  std::optional<bool> yaml_;
  std::string carried_;  // of the next YAML document: what stood behind its `---`
  std::string buffer_;
  size_t start_ = 0;  // what is before it in buffer_ is used up
  size_t line_ = 1;   // of start_
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_DOCUMENTS_H
