// Lines of CSV (RFC 4180): fields in quotes may have commas, doubled quotes and line ends in them.
#ifndef IMCTL_USER_CSV_H
#define IMCTL_USER_CSV_H

#include <string>
#include <string_view>
#include <vector>

#include "imctl/status.h"

namespace imctl::user {

class CsvReader {
 public:
  enum class Outcome { kRecord, kMore, kBad };

  // Takes a line without its end. kRecord: fields() are those of a record; kMore: a quote is still
  // open; kBad: error() says why, and the next line begins anew.
  Outcome take(std::string_view line);

  const std::vector<std::string>& fields() const { return fields_; }
  const std::string& error() const { return error_; }
  bool open() const { return in_quotes_; }

 private:
  Outcome fail(std::string why);

  std::vector<std::string> fields_;
  std::string error_;
  size_t size_ = 0;
  bool in_quotes_ = false;
};

}  // namespace imctl::user

#endif  // IMCTL_USER_CSV_H
