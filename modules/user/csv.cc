#include "csv.h"

namespace imctl::user {
namespace {

// Of one record. An open quote must not take the rest of the file with it.
constexpr size_t kMaxRecord = size_t{64} << 10U;

}  // namespace

CsvReader::Outcome CsvReader::fail(std::string why) {
  error_ = std::move(why);
  in_quotes_ = false;
  return Outcome::kBad;
}

CsvReader::Outcome CsvReader::take(std::string_view line) {
  if (!in_quotes_) {
    fields_.assign(1, "");
    size_ = 0;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  } else {
    fields_.back() += '\n';
  }
  size_ += line.size() + 1;
  if (size_ > kMaxRecord) {
    return fail(in_quotes_ ? "a quote is opened and not closed within 64 KiB"
                           : "it has more than 64 KiB");
  }
  // May a quote open a field here? Was one just closed?
  bool fresh = !in_quotes_;
  bool closed = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (in_quotes_) {
      if (c != '"') {
        fields_.back() += c;
      } else if (i + 1 < line.size() && line[i + 1] == '"') {
        fields_.back() += '"';
        ++i;
      } else {
        in_quotes_ = false;
        closed = true;
      }
      continue;
    }
    if (c == ',') {
      fields_.emplace_back();
      fresh = true;
      closed = false;
      continue;
    }
    if (c == '\r' && closed && i + 1 == line.size()) continue;
    if (closed)
      return fail("a comma is missing behind a quote, in field " + std::to_string(fields_.size()));
    if (c == '"') {
      if (!fresh)
        return fail("a quote within field " + std::to_string(fields_.size()) +
                    ", which does not begin with one");
      in_quotes_ = true;
    } else {
      fields_.back() += c;
    }
    fresh = false;
  }
  return in_quotes_ ? Outcome::kMore : Outcome::kRecord;
}

}  // namespace imctl::user
