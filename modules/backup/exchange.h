// What goes between files of other servers and this one: users, messages, cursors.
#ifndef IMCTL_BACKUP_EXCHANGE_H
#define IMCTL_BACKUP_EXCHANGE_H

#include <cstdint>
#include <functional>
#include <string>

#include "imctl/backup/v1/data.pb.h"
#include "imctl/status.h"

namespace imctl::backup {

// Where a record stands in what is imported.
struct Origin {
  std::string file;
  uint64_t line = 0;
};

// A record of an import, or why it is none.
struct ExchangeRecord {
  Origin origin;
  v1::ExchangeLine line;
  std::string bad;  // not empty: it is no good
};

// Reads records of a file one after the other. Blocks; one thread at a time.
class ExchangeReader {
 public:
  ExchangeReader() = default;
  ExchangeReader(const ExchangeReader&) = delete;
  ExchangeReader& operator=(const ExchangeReader&) = delete;
  virtual ~ExchangeReader() = default;
  // False: that was all. An error: nothing of what follows can be read.
  virtual Result<bool> next(ExchangeRecord* record) = 0;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_EXCHANGE_H
