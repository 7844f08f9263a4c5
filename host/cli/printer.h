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
#include "cli/terminal.h"
#include "imctl/options.pb.h"

namespace imctl::host::cli {

// What of it is shown, and how.
struct View {
  Format format = Format::kTable;
  bool headers = true;
  std::vector<std::string> columns;  // --columns; empty: the verb's own
  std::string sort_by;               // "COLUMN" or "COLUMN:desc"; empty: as it comes
};
View view_of(const Flags& flags);

class Printer {
 public:
  // `terminal` gives where to print, the width, and whether there are colours.
  Printer(const google::protobuf::Descriptor* reply, const imctl::Verb& verb, View view,
          const Terminal& terminal);

  // Are there the columns that the view names? INVALID_ARGUMENT names those there are. After a
  // reply that is a file: may it go to where it was to be printed?
  Status check() const { return error_; }

  // Is it, or a part of it, a file?
  bool is_file_of(const google::protobuf::Message& reply) const;

  // Prints one reply, at once. It may be sorted on the way.
  void print(google::protobuf::Message* reply);

  // Has any of the columns something of it? Of a reply with lists always.
  bool shows_anything_of(const google::protobuf::Message& reply) const;

  // The replies were to be lists, and nothing was in them.
  bool found_none() const { return lists_ && rows_ == 0; }

 private:
  void find_columns(const imctl::Verb& verb);
  void find_sort();
  void print_file(const google::protobuf::Message& reply);
  void sort(google::protobuf::Message* reply) const;
  void print_row(const google::protobuf::Message& row);
  std::string line_of(const google::protobuf::Message& row) const;

  const google::protobuf::Descriptor* reply_;
  View view_;
  std::ostream& out_;
  Table::Style style_;
  Status error_;
  // The reply's list whose elements are the rows; nullptr: the reply itself is one.
  const google::protobuf::FieldDescriptor* list_ = nullptr;
  bool lists_ = false;
  size_t replies_ = 0;
  size_t rows_ = 0;
  // Not a table: several parts, of which these columns are shown.
  bool parts_ = false;
  std::vector<std::string> part_columns_;
  std::vector<Column> columns_;
  std::unique_ptr<Table> table_;
  // How a row is a line of text; empty: it is a table's.
  std::string line_;
  // Bytes that are a file's: nothing else is printed. If the field says whether it is there, that
  // holds from the first reply on in which it is. nullptr: there are none, or the format shows all.
  const google::protobuf::FieldDescriptor* file_ = nullptr;
  bool file_printed_ = false;
  bool to_terminal_ = false;
  // The list that is sorted, and the path in its elements.
  const google::protobuf::FieldDescriptor* sorted_ = nullptr;
  std::string sort_path_;
  bool descending_ = false;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_PRINTER_H
