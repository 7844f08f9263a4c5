#include "cli/printer.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "cli/field_value.h"
#include "cli/parts.h"
#include "cli/suggest.h"
#include "cli/text.h"
#include "cli/tree.h"

namespace imctl::host::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

bool is_list(const FieldDescriptor* field) {
  return field != nullptr && field->is_repeated() && !field->is_map() &&
         field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
}

Status no_column(const std::string& flag, const std::string& typed, const Descriptor* row) {
  std::vector<std::string> names;
  for (int i = 0; i < row->field_count(); ++i) names.push_back(row->field(i)->name());
  return {IMCTL_INVALID_ARGUMENT, flag + ": there is no column `" + clean_line(typed) + "`" +
                                      did_you_mean(lower(typed), names) + "; there are " +
                                      join(names, ", ")};
}

const FieldDescriptor* find_file(const Descriptor* reply) {
  for (int i = 0; i < reply->field_count(); ++i) {
    const FieldDescriptor* field = reply->field(i);
    if (is_file(field) && !field->is_repeated()) return field;
  }
  return nullptr;
}

Status for_a_file() {
  return {IMCTL_INVALID_ARGUMENT,
          "the reply is a file, which is not for a terminal: redirect it, `> FILE`"};
}

}  // namespace

View view_of(const Flags& flags) {
  return {flags.format(), flags.headers, flags.columns, flags.sort_by};
}

Printer::Printer(const Descriptor* reply, const imctl::Verb& verb, View view,
                 const Terminal& terminal)
    : reply_(reply), view_(std::move(view)), out_(terminal.out) {
  bool wide = view_.format == Format::kWide;
  style_ = {view_.headers, wide ? 0 : terminal.width, terminal.color, 0};
  if (view_.format == Format::kTable) file_ = find_file(reply);
  if (view_.format == Format::kTable && view_.columns.empty()) line_ = verb.line();
  to_terminal_ = terminal.width != 0;
  if (file_ != nullptr && !file_->has_presence() && to_terminal_) error_ = for_a_file();
  const FieldDescriptor* list = reply->FindFieldByName(verb.rows());
  if (is_list(list)) {
    list_ = list;
    lists_ = true;
  }
  find_columns(verb);
  std::vector<std::string> names;
  for (const Column& column : columns_) names.push_back(column.header);
  table_ = std::make_unique<Table>(names, style_);
  if (error_.ok() && !view_.sort_by.empty()) find_sort();
}

void Printer::find_columns(const imctl::Verb& verb) {
  const Descriptor* row = list_ == nullptr ? reply_ : list_->message_type();
  std::vector<std::string> paths(verb.columns().begin(), verb.columns().end());
  bool wide = view_.format == Format::kWide;
  parts_ = list_ == nullptr && has_parts(row, paths);
  columns_ = columns_of(row, paths, wide);
  if (!view_.columns.empty()) {
    paths.clear();
    for (const std::string& typed : view_.columns) {
      size_t dot = typed.find('.');
      const FieldDescriptor* list = row->FindFieldByName(typed.substr(0, dot));
      bool of_part = parts_ && is_list(list);
      std::string path = of_part ? typed : find_path(row, columns_, typed);
      if (of_part && dot != std::string::npos &&
          find_path(list->message_type(), {}, typed.substr(dot + 1)).empty()) {
        path.clear();
      }
      if (path.empty() && error_.ok()) error_ = no_column("--columns", typed, row);
      paths.push_back(path);
    }
    parts_ = list_ == nullptr && has_parts(row, paths);
    columns_ = columns_of(row, paths, false);
  }
  part_columns_ = std::move(paths);
}

void Printer::find_sort() {
  std::string typed = view_.sort_by;
  descending_ = typed.ends_with(":desc");
  if (descending_) typed.resize(typed.size() - 5);
  sorted_ = list_;
  if (sorted_ == nullptr) {
    size_t dot = typed.find('.');
    sorted_ = reply_->FindFieldByName(typed.substr(0, dot));
    if (!is_list(sorted_) || dot == std::string::npos) {
      error_ = Status(IMCTL_INVALID_ARGUMENT,
                      "--sort-by: the reply is no list" +
                          std::string(parts_ ? "; name one of its lists: LIST.COLUMN" : ""));
      return;
    }
    typed.erase(0, dot + 1);
  }
  sort_path_ = find_path(sorted_->message_type(),
                         list_ == nullptr ? std::vector<Column>() : columns_, typed);
  if (sort_path_.empty()) error_ = no_column("--sort-by", typed, sorted_->message_type());
}

void Printer::sort(Message* reply) const {
  const auto* reflection = reply->GetReflection();
  int size = reflection->FieldSize(*reply, sorted_);
  std::vector<int> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    const Message& first = reflection->GetRepeatedMessage(*reply, sorted_, descending_ ? b : a);
    const Message& second = reflection->GetRepeatedMessage(*reply, sorted_, descending_ ? a : b);
    return cell_less(first, second, sort_path_);
  });
  // Each place gets its element by swaps; where an element went to is followed.
  for (size_t i = 0; i < order.size(); ++i) {
    int from = order[i];
    while (from < static_cast<int>(i)) from = order[static_cast<size_t>(from)];
    if (from != static_cast<int>(i)) {
      reflection->SwapElements(reply, sorted_, static_cast<int>(i), from);
    }
  }
}

bool Printer::is_file_of(const Message& reply) const {
  if (file_ == nullptr) return false;
  return !file_->has_presence() || reply.GetReflection()->HasField(reply, file_);
}

bool Printer::shows_anything_of(const Message& reply) const {
  if (list_ != nullptr || parts_ || columns_.empty()) return true;
  return std::any_of(columns_.begin(), columns_.end(),
                     [&](const Column& column) { return !cell(reply, column.path).empty(); });
}

void Printer::print_file(const Message& reply) {
  if (to_terminal_) {
    error_ = for_a_file();
    return;
  }
  out_ << reply.GetReflection()->GetString(reply, file_) << std::flush;
  file_printed_ = true;
}

void Printer::print(Message* reply) {
  ++replies_;
  if (is_file_of(*reply)) return print_file(*reply);
  if (file_printed_) return;
  if (sorted_ != nullptr) sort(reply);
  const auto* reflection = reply->GetReflection();
  bool table = view_.format == Format::kTable || view_.format == Format::kWide;
  if (view_.format == Format::kJson) {
    out_ << to_json(to_tree(*reply), true) << '\n';
  } else if (view_.format == Format::kYaml) {
    out_ << (replies_ > 1 ? "---\n" : "") << to_yaml(to_tree(*reply));
  } else if (table && parts_) {
    if (replies_ > 1) out_ << '\n';
    print_parts(*reply, part_columns_, view_.format == Format::kWide, style_, out_);
  } else if (list_ == nullptr) {
    print_row(*reply);
  } else {
    for (int i = 0; i < reflection->FieldSize(*reply, list_); ++i) {
      print_row(reflection->GetRepeatedMessage(*reply, list_, i));
    }
  }
  if (table && !parts_ && line_.empty()) table_->flush(out_);
  if (list_ != nullptr) rows_ += static_cast<size_t>(reflection->FieldSize(*reply, list_));
  out_.flush();
}

std::string Printer::line_of(const Message& row) const {
  std::string line;
  std::string part;  // of <...>
  bool optional = false;
  bool empty = false;  // a field in the part is
  for (size_t at = 0; at < line_.size(); ++at) {
    std::string& to = optional ? part : line;
    const size_t end = line_[at] == '{' ? line_.find('}', at) : std::string::npos;
    if (end != std::string::npos) {
      const std::string text = clean_line(cell(row, line_.substr(at + 1, end - at - 1)));
      empty = empty || text.empty();
      to += text;
      at = end;
    } else if (line_[at] == '<') {
      optional = true;
      empty = false;
      part.clear();
    } else if (line_[at] == '>' && optional) {
      optional = false;
      if (!empty) line += part;
    } else {
      to += line_[at];
    }
  }
  return line;
}

void Printer::print_row(const Message& row) {
  if (view_.format == Format::kJsonLines) {
    out_ << to_json(to_tree(row), false) << '\n';
    return;
  }
  if (!line_.empty()) {
    out_ << line_of(row) << '\n';
    return;
  }
  if (columns_.empty()) return;
  if (view_.format == Format::kName) {
    out_ << clean_line(cell(row, columns_.front().path)) << '\n';
    return;
  }
  std::vector<std::string> cells;
  for (const Column& column : columns_) cells.push_back(cell(row, column.path));
  table_->add(std::move(cells));
}

}  // namespace imctl::host::cli
