// Prints replies in the format that -o names.
#ifndef IMCTL_HOST_CLI_PRINTER_H
#define IMCTL_HOST_CLI_PRINTER_H

#include <google/protobuf/descriptor.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "cli/columns.h"
#include "cli/flags.h"
#include "cli/table.h"
#include "imctl/options.pb.h"

namespace imctl::host::cli {

class Printer {
 public:
  // `width`: columns of the terminal, 0 if there is none.
  Printer(const google::protobuf::Descriptor* reply, const imctl::Verb& verb, Format format,
          bool headers, size_t width, std::ostream& out);

  // Prints one reply, at once.
  void print(const google::protobuf::Message& reply);

  // The replies were to be lists, and nothing was in them.
  bool found_none() const { return lists_ && rows_ == 0; }

 private:
  void print_row(const google::protobuf::Message& row);

  Format format_;
  std::ostream& out_;
  // The reply's list whose elements are the rows; nullptr: the reply itself is one.
  const google::protobuf::FieldDescriptor* list_ = nullptr;
  bool lists_ = false;
  size_t replies_ = 0;
  size_t rows_ = 0;
  std::vector<Column> columns_;
  std::unique_ptr<Table> table_;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_PRINTER_H
