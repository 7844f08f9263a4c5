// Reads JSON lines (docs/interchange.md).
#ifndef IMCTL_BACKUP_JSON_READER_H
#define IMCTL_BACKUP_JSON_READER_H

#include <functional>
#include <memory>

#include "exchange.h"
#include "source.h"
#include "xml_reader.h"

namespace imctl::backup {

// A line of JSON to a serialized ExchangeLine.
using FromJson = std::function<Result<std::string>(const std::string& line)>;

std::unique_ptr<ExchangeReader> json_reader(ImportFile file, FromJson from_json);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_JSON_READER_H
