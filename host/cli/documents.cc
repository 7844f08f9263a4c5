#include "cli/documents.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace imctl::host::cli {

DocumentReader::DocumentReader(std::string path) : path_(std::move(path)), name_(path_) {
  if (path_ == "-") {
    fd_ = STDIN_FILENO;
    name_ = "standard input";
  }
}

DocumentReader::DocumentReader(int fd, std::string name) : name_(std::move(name)), fd_(fd) {}

DocumentReader::~DocumentReader() {
  if (owned_) ::close(fd_);
}

Status DocumentReader::fail(const std::string& why) const { return {IMCTL_INVALID_ARGUMENT, why}; }

Status DocumentReader::open() {
  if (fd_ >= 0) return {};
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  owned_ = fd_ >= 0;
  if (!owned_) return fail("cannot open " + name_ + ": " + std::generic_category().message(errno));
  return {};
}

Status DocumentReader::more() {
  if (start_ > 0) {
    buffer_.erase(0, start_);
    start_ = 0;
  }
  std::array<char, 65536> chunk{};
  ssize_t n = 0;
  do {
    n = ::read(fd_, chunk.data(), chunk.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return fail("cannot read " + name_ + ": " + std::generic_category().message(errno));
  if (n == 0) ended_ = true;
  buffer_.append(chunk.data(), static_cast<size_t>(n));
  return {};
}

void DocumentReader::drop(size_t n) {
  auto begin = buffer_.begin() + static_cast<std::ptrdiff_t>(start_);
  line_ += static_cast<size_t>(std::count(begin, begin + static_cast<std::ptrdiff_t>(n), '\n'));
  start_ += n;
}

Status DocumentReader::skip_blanks() {
  while (true) {
    size_t n = buffer_.find_first_not_of(" \t\r\n", start_);
    drop((n == std::string::npos ? buffer_.size() : n) - start_);
    if (n != std::string::npos || ended_) return {};
    Status status = more();
    if (!status.ok()) return status;
  }
}

Result<std::optional<Document>> DocumentReader::next() {
  Status status = open();
  if (!status.ok()) return status;
  if (!yaml_) {
    bool named_yaml = path_.ends_with(".yaml") || path_.ends_with(".yml");
    if (!named_yaml) {
      while (buffer_.size() < 3 && !ended_) {
        status = more();
        if (!status.ok()) return status;
      }
      if (buffer_.starts_with("\xEF\xBB\xBF")) start_ = 3;  // a byte order mark
      status = skip_blanks();
      if (!status.ok()) return status;
    }
    bool json = start_ < buffer_.size() && (buffer_[start_] == '{' || buffer_[start_] == '[');
    yaml_ = named_yaml || !json;
  }
  return *yaml_ ? next_yaml() : next_json();
}

Result<std::optional<Document>> DocumentReader::next_json() {
  Status status = skip_blanks();
  if (!status.ok()) return status;
  if (start_ == buffer_.size()) return std::optional<Document>();
  if (buffer_[start_] != '{') {
    return fail(name_ + ":" + std::to_string(line_) +
                ": a request is an object, so it begins with {");
  }
  size_t depth = 0;
  bool string = false;
  bool escaped = false;
  size_t done = 0;  // how much of what follows start_ was looked at
  while (true) {
    for (; start_ + done < buffer_.size(); ++done) {
      char c = buffer_[start_ + done];
      if (string) {
        if (!escaped && c == '"') string = false;
        escaped = !escaped && c == '\\';
        continue;
      }
      if (c == '"') string = true;
      if (c == '{' || c == '[') ++depth;
      if ((c == '}' || c == ']') && --depth == 0) {
        Document document{buffer_.substr(start_, done + 1), false, line_};
        drop(done + 1);
        return std::optional<Document>(std::move(document));
      }
    }
    if (ended_) {
      return fail(name_ + ":" + std::to_string(line_) +
                  ": the object that begins here does not end");
    }
    status = more();
    if (!status.ok()) return status;
  }
}

Result<std::optional<Document>> DocumentReader::next_yaml() {
  Document document{std::exchange(carried_, {}), true, line_};
  if (!document.text.empty()) --document.line;
  auto content = [&] { return document.text.find_first_not_of(" \t\r\n") != std::string::npos; };
  while (true) {
    Result<std::optional<std::string>> text = next_line();
    if (!text.ok()) return text.status();
    if (!*text) {
      if (!content()) return std::optional<Document>();
      return std::optional<Document>(std::move(document));
    }
    const std::string& line = **text;
    if (line != "..." && line != "---" && !line.starts_with("--- ")) {
      document.text += line + "\n";
      continue;
    }
    // What stands behind the marker on its line belongs to the next document.
    if (line.size() > 4) carried_ = "    " + line.substr(4) + "\n";
    if (content()) return std::optional<Document>(std::move(document));
    document = {std::exchange(carried_, {}), true, line_};
    if (!document.text.empty()) --document.line;
  }
}

Result<std::optional<std::string>> DocumentReader::next_line() {
  Status status = open();
  if (!status.ok()) return status;
  size_t from = start_;
  while (true) {
    size_t end = buffer_.find('\n', from);
    if (end != std::string::npos || ended_) {
      if (end == std::string::npos && start_ == buffer_.size()) return std::optional<std::string>();
      bool whole = end != std::string::npos;
      size_t size = (whole ? end : buffer_.size()) - start_;
      std::string line = buffer_.substr(start_, size);
      drop(size + (whole ? 1 : 0));
      if (line.ends_with('\r')) line.pop_back();
      return std::optional<std::string>(std::move(line));
    }
    size_t looked = buffer_.size() - start_;
    status = more();
    if (!status.ok()) return status;
    from = looked;
  }
}

}  // namespace imctl::host::cli
