#include "json_reader.h"

#include <algorithm>
#include <string>
#include <utility>

namespace imctl::backup {
namespace {

constexpr size_t kRead = size_t{256} << 10U;
constexpr size_t kMaxLine = size_t{16} << 20U;

class JsonReader final : public ExchangeReader {
 public:
  JsonReader(ImportFile file, FromJson from_json)
      : file_(std::move(file)), from_json_(std::move(from_json)) {}

  Result<bool> next(ExchangeRecord* record) override {
    std::string line;
    for (;;) {
      Result<bool> more = next_line(&line);
      if (!more.ok() || !*more) return more;
      if (!line.empty()) break;
    }
    *record = ExchangeRecord();
    record->origin = {file_.name, number_};
    if (line.size() > kMaxLine) {
      record->bad = "it has more than 16 MiB";
      return true;
    }
    // What is wrong would be told with a piece of the line, which may be a password.
    Result<std::string> bytes = from_json_(line);
    if (!bytes.ok() || !record->line.ParseFromString(*bytes) ||
        record->line.line_case() == v1::ExchangeLine::LINE_NOT_SET) {
      record->bad = "it is no JSON object that docs/interchange.md knows";
      record->line.Clear();
    } else if (record->line.has_imctl() && record->line.imctl().format() != 1) {
      return Status(IMCTL_INVALID_ARGUMENT, "the file is of format " +
                                                std::to_string(record->line.imctl().format()) +
                                                "; this one reads format 1: use a newer version");
    }
    return true;
  }

 private:
  // Without its end; of one that is too long only the beginning.
  Result<bool> next_line(std::string* line) {
    line->clear();
    bool any = false;
    for (;;) {
      if (at_ == buffer_.size()) {
        if (Status status = fill(); !status.ok()) return status;
        if (buffer_.empty()) break;
      }
      any = true;
      const size_t end = buffer_.find('\n', at_);
      const size_t upto = std::min(end, buffer_.size());
      if (line->size() <= kMaxLine) line->append(buffer_, at_, upto - at_);
      at_ = end == std::string::npos ? buffer_.size() : end + 1;
      if (end != std::string::npos) break;
    }
    if (any) ++number_;
    if (!line->empty() && line->back() == '\r') line->pop_back();
    return any;
  }

  Status fill() {
    const uint64_t left = file_.source->size() - offset_;
    buffer_.resize(static_cast<size_t>(std::min<uint64_t>(left, kRead)));
    at_ = 0;
    Status status = file_.source->read(offset_, buffer_.data(), buffer_.size());
    offset_ += buffer_.size();
    return status;
  }

  const ImportFile file_;
  const FromJson from_json_;
  std::string buffer_;
  size_t at_ = 0;
  uint64_t offset_ = 0;
  uint64_t number_ = 0;
};

}  // namespace

std::unique_ptr<ExchangeReader> json_reader(ImportFile file, FromJson from_json) {
  return std::make_unique<JsonReader>(std::move(file), std::move(from_json));
}

}  // namespace imctl::backup
