// Reads files of XEP-0227 (Portable Import/Export Format), version 1.1: hosts, users with passwords
// or parts of SCRAM, messages kept for them and archives. Files may include others (XInclude).
#ifndef IMCTL_BACKUP_XML_READER_H
#define IMCTL_BACKUP_XML_READER_H

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exchange.h"
#include "source.h"

namespace imctl::backup {

// What an import is made of: a file, or those of a tar.
struct ImportFile {
  std::string name;
  std::shared_ptr<Source> source;
};

std::unique_ptr<ExchangeReader> xep0227_reader(std::vector<ImportFile> files);

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_XML_READER_H
