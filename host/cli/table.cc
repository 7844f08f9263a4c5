#include "cli/table.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "cli/terminal.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kNarrowest = 6;

}  // namespace

Table::Table(std::vector<std::string> headers, Style style)
    : headers_(std::move(headers)), style_(style), header_due_(style.headers) {
  for (const std::string& header : headers_) {
    wanted_.push_back(style.headers ? display_width(header) : 0);
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
  if (style_.width == 0 || widths.empty()) return widths;
  size_t width = style_.width - std::min(style_.width, style_.indent);
  size_t sum = std::accumulate(widths.begin(), widths.end(), kGap * (widths.size() - 1));
  // The widest gives way.
  while (sum > width) {
    auto widest = std::max_element(widths.begin(), widths.end());
    if (*widest <= kNarrowest) break;
    --*widest;
    --sum;
  }
  return widths;
}

void Table::print(std::ostream& out, const std::vector<std::string>& cells,
                  const std::vector<size_t>& widths, bool bold_text) const {
  std::string line;
  size_t blanks = style_.indent;
  for (size_t i = 0; i < cells.size(); ++i) {
    std::string cell = fit(cells[i], widths[i]);
    size_t size = display_width(cell);
    if (!cell.empty()) {
      line.append(blanks, ' ');
      line += bold_text ? bold(cell, style_.color) : cell;
      blanks = 0;
    }
    blanks += widths[i] - std::min(widths[i], size) + kGap;
  }
  out << line << '\n';
}

void Table::flush(std::ostream& out) {
  std::vector<size_t> now = widths();
  if (header_due_ && !rows_.empty()) {
    print(out, headers_, now, true);
    header_due_ = false;
  }
  for (const std::vector<std::string>& row : rows_) print(out, row, now, false);
  rows_.clear();
  out.flush();
}

}  // namespace imctl::host::cli
