#include "cli/tree_list.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "cli/suggest.h"
#include "cli/table.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

// "*" is easier to find in a column than "true".
std::string cell_of(const Tree& value) {
  if (value.kind == Tree::Kind::kLiteral && value.text == "true") return "*";
  if (value.kind == Tree::Kind::kLiteral && value.text == "false") return "";
  return value.text;
}

const Tree* find(const Tree& object, const std::string& key) {
  auto found = std::find(object.keys.begin(), object.keys.end(), key);
  return found == object.keys.end()
             ? nullptr
             : &object.items[static_cast<size_t>(found - object.keys.begin())];
}

Status check_column(LocalCall& call, const std::string& flag, const std::string& typed,
                    const std::vector<std::string>& columns) {
  if (std::find(columns.begin(), columns.end(), typed) != columns.end()) return {};
  call.usage = true;
  return {IMCTL_INVALID_ARGUMENT, flag + ": there is no column `" + clean_line(typed) + "`" +
                                      did_you_mean(typed, columns) + "; there are " +
                                      join(columns, ", ")};
}

Status sort_rows(LocalCall& call, std::vector<Tree>* rows,
                 const std::vector<std::string>& columns) {
  std::string key = call.flags.sort_by;
  if (key.empty()) return {};
  bool descending = key.ends_with(":desc");
  if (descending) key.resize(key.size() - 5);
  Status status = check_column(call, "--sort-by", key, columns);
  if (!status.ok()) return status;
  std::stable_sort(rows->begin(), rows->end(), [&](const Tree& a, const Tree& b) {
    return descending ? text_at(b, key) < text_at(a, key) : text_at(a, key) < text_at(b, key);
  });
  return {};
}

}  // namespace

std::string text_at(const Tree& object, const std::string& key) {
  const Tree* value = find(object, key);
  return value == nullptr ? "" : value->text;
}

Status print_list(LocalCall& call, std::vector<Tree> rows, const std::vector<std::string>& columns,
                  size_t few) {
  Format format = call.flags.format();
  std::vector<std::string> shown(
      columns.begin(),
      format == Format::kWide ? columns.end() : columns.begin() + static_cast<std::ptrdiff_t>(few));
  if (!call.flags.columns.empty()) shown = call.flags.columns;
  for (const std::string& column : shown) {
    Status status = check_column(call, "--columns", column, columns);
    if (!status.ok()) return status;
  }
  Status status = sort_rows(call, &rows, columns);
  if (!status.ok()) return status;
  if (rows.empty()) call.err << "none found\n";
  if (format == Format::kJson || format == Format::kYaml) {
    Tree list = Tree::list();
    list.items = std::move(rows);
    call.out << (format == Format::kJson ? to_json(list, true) + "\n" : to_yaml(list));
    return {};
  }
  std::vector<std::string> headers;
  for (std::string header : shown) {
    for (char& c : header) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    headers.push_back(std::move(header));
  }
  Table table(headers, {call.flags.headers, format == Format::kWide ? 0 : call.terminal.width,
                        call.terminal.color, 0});
  for (const Tree& row : rows) {
    if (format == Format::kJsonLines) call.out << to_json(row, false) << '\n';
    if (format == Format::kName) call.out << clean_line(text_at(row, shown.front())) << '\n';
    std::vector<std::string> cells;
    for (const std::string& column : shown) {
      const Tree* value = find(row, column);
      cells.push_back(value == nullptr ? "" : cell_of(*value));
    }
    table.add(std::move(cells));
  }
  if (format == Format::kTable || format == Format::kWide) table.flush(call.out);
  return {};
}

}  // namespace imctl::host::cli
