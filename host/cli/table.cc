#include "cli/table.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "cli/text.h"

namespace imctl::host::cli {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kNarrowest = 6;

}  // namespace

Table::Table(std::vector<std::string> headers, bool show_headers, size_t width)
    : headers_(std::move(headers)), header_due_(show_headers), width_(width) {
  for (const std::string& header : headers_) {
    wanted_.push_back(show_headers ? display_width(header) : 0);
  }
}

void Table::add(std::vector<std::string> cells) {
  cells.resize(headers_.size());
  for (size_t i = 0; i < cells.size(); ++i) {
    cells[i] = clean_line(cells[i]);
    wanted_[i] = std::max(wanted_[i], display_width(cells[i]));
  }
  rows_.push_back(std::move(cells));
}

std::vector<size_t> Table::widths() const {
  std::vector<size_t> widths = wanted_;
  if (width_ == 0 || widths.empty()) return widths;
  size_t sum = std::accumulate(widths.begin(), widths.end(), kGap * (widths.size() - 1));
  // The widest gives way.
  while (sum > width_) {
    auto widest = std::max_element(widths.begin(), widths.end());
    if (*widest <= kNarrowest) break;
    --*widest;
    --sum;
  }
  return widths;
}

void Table::print(std::ostream& out, const std::vector<std::string>& cells,
                  const std::vector<size_t>& widths) const {
  std::string line;
  size_t blanks = 0;
  for (size_t i = 0; i < cells.size(); ++i) {
    std::string cell = fit(cells[i], widths[i]);
    size_t size = display_width(cell);
    if (!cell.empty()) {
      line.append(blanks, ' ');
      line += cell;
      blanks = 0;
    }
    blanks += widths[i] - std::min(widths[i], size) + kGap;
  }
  out << line << '\n';
}

void Table::flush(std::ostream& out) {
  std::vector<size_t> now = widths();
  if (header_due_ && !rows_.empty()) {
    print(out, headers_, now);
    header_due_ = false;
  }
  for (const std::vector<std::string>& row : rows_) print(out, row, now);
  rows_.clear();
  out.flush();
}

}  // namespace imctl::host::cli
