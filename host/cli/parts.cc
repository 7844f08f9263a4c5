#include "cli/parts.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "cli/columns.h"
#include "cli/field_value.h"
#include "cli/terminal.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kDeepest = 8;

// Messages that a cell does not show.
bool is_part(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_map() &&
         !is_scalar_like(field);
}

// The columns below a field: "modules.name" is "name" for `modules`.
std::vector<std::string> below(const std::vector<std::string>& columns, const std::string& field) {
  std::vector<std::string> found;
  for (const std::string& column : columns) {
    if (column.starts_with(field + ".")) found.push_back(column.substr(field.size() + 1));
  }
  return found;
}

class PartsPrinter {
 public:
  PartsPrinter(bool wide, Table::Style style, std::ostream& out)
      : wide_(wide), style_(style), out_(out) {}

  void print(const Message& message, const std::vector<std::string>& columns, size_t indent) {
    print_lines(message, columns, indent);
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor* field = message.GetDescriptor()->field(i);
      if (!is_part(field) || is_secret(field)) continue;
      std::vector<std::string> inner = below(columns, field->name());
      bool named = !inner.empty() ||
                   std::find(columns.begin(), columns.end(), field->name()) != columns.end();
      if (!columns.empty() && !named && !wide_) continue;
      if (field->is_repeated()) {
        print_table(message, field, inner, indent);
      } else if (message.GetReflection()->HasField(message, field) && indent < 2 * kDeepest) {
        title(field, indent);
        print(message.GetReflection()->GetMessage(message, field), inner, indent + 2);
      }
    }
  }

 private:
  void print_lines(const Message& message, const std::vector<std::string>& columns, size_t indent) {
    std::vector<std::pair<std::string, std::string>> lines;
    auto add = [&](const FieldDescriptor* field) {
      std::string text = field_text(message, field);
      if (!text.empty()) lines.emplace_back(label_of(field->name()) + ":", clean_line(text));
    };
    std::vector<const FieldDescriptor*> shown;
    for (const std::string& column : columns) {
      const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(column);
      if (field != nullptr && !is_part(field)) shown.push_back(field);
    }
    if (shown.empty() || wide_) {
      for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
        const FieldDescriptor* field = message.GetDescriptor()->field(i);
        if (is_part(field) || is_secret(field)) continue;
        if (std::find(shown.begin(), shown.end(), field) == shown.end()) shown.push_back(field);
      }
    }
    for (const FieldDescriptor* field : shown) add(field);
    size_t left = 0;
    for (const auto& line : lines) left = std::max(left, display_width(line.first));
    for (const auto& [label, value] : lines) {
      size_t used = indent + left + 2;
      size_t room = style_.width > used ? style_.width - used : 0;
      out_ << std::string(indent, ' ') << bold(label, style_.color)
           << std::string(left - display_width(label) + 2, ' ')
           << (room == 0 || wide_ ? value : fit(value, room)) << '\n';
    }
    printed_ = printed_ || !lines.empty();
  }

  void print_table(const Message& message, const FieldDescriptor* field,
                   const std::vector<std::string>& columns, size_t indent) {
    int rows = message.GetReflection()->FieldSize(message, field);
    if (rows == 0) return;
    title(field, indent);
    std::vector<Column> shown = columns_of(field->message_type(), columns, wide_);
    std::vector<std::string> headers;
    for (const Column& column : shown) headers.push_back(column.header);
    Table::Style style = style_;
    style.indent = indent + 2;
    Table table(headers, style);
    for (int i = 0; i < rows; ++i) {
      const Message& row = message.GetReflection()->GetRepeatedMessage(message, field, i);
      std::vector<std::string> cells;
      for (const Column& column : shown) cells.push_back(cell(row, column.path));
      table.add(std::move(cells));
    }
    table.flush(out_);
    printed_ = true;
  }

  void title(const FieldDescriptor* field, size_t indent) {
    if (printed_ && indent == 0) out_ << '\n';
    out_ << std::string(indent, ' ') << bold(label_of(field->name()) + ":", style_.color) << '\n';
    printed_ = true;
  }

  bool wide_;
  Table::Style style_;
  std::ostream& out_;
  bool printed_ = false;
};

}  // namespace

bool has_parts(const Descriptor* type, const std::vector<std::string>& columns) {
  bool parts = false;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (!is_part(field)) continue;
    parts = true;
    // Columns of a list, or the list as a whole.
    bool named = !below(columns, field->name()).empty() ||
                 std::find(columns.begin(), columns.end(), field->name()) != columns.end();
    if (named && field->is_repeated()) return true;
  }
  return parts && columns.empty();
}

void print_parts(const Message& message, const std::vector<std::string>& columns, bool wide,
                 Table::Style style, std::ostream& out) {
  PartsPrinter(wide, style, out).print(message, columns, 0);
}

}  // namespace imctl::host::cli
