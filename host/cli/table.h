// A table in text.
#ifndef IMCTL_HOST_CLI_TABLE_H
#define IMCTL_HOST_CLI_TABLE_H

#include <ostream>
#include <string>
#include <vector>

namespace imctl::host::cli {

class Table {
 public:
  struct Style {
    bool headers = true;
    size_t width = 0;  // columns of the terminal, 0 if lines may be of any length
    bool color = false;
    size_t indent = 0;
  };
  Table(std::vector<std::string> headers, Style style);

  void add(std::vector<std::string> cells);

  // Prints what was added since the last time. Columns never get narrower, so what comes later
  // stands under what came before as far as it fits.
  void flush(std::ostream& out);

 private:
  std::vector<size_t> widths() const;
  void print(std::ostream& out, const std::vector<std::string>& cells,
             const std::vector<size_t>& widths, bool bold_text) const;

  std::vector<std::string> headers_;
  Style style_;
  bool header_due_;
  std::vector<size_t> wanted_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_TABLE_H
