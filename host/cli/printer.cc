#include "cli/printer.h"

#include "cli/text.h"
#include "cli/tree.h"

namespace imctl::host::cli {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

Printer::Printer(const google::protobuf::Descriptor* reply, const imctl::Verb& verb, Format format,
                 bool headers, size_t width, std::ostream& out)
    : format_(format), out_(out) {
  const FieldDescriptor* list = reply->FindFieldByName(verb.rows());
  if (list != nullptr && list->is_repeated() &&
      list->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    list_ = list;
    lists_ = true;
  }
  bool wide = format == Format::kWide;
  columns_ = columns_of(list_ == nullptr ? reply : list_->message_type(), verb, wide);
  std::vector<std::string> names;
  for (const Column& column : columns_) names.push_back(column.header);
  table_ = std::make_unique<Table>(names, headers, wide ? 0 : width);
}

void Printer::print(const Message& reply) {
  ++replies_;
  const auto* reflection = reply.GetReflection();
  switch (format_) {
    case Format::kJson: out_ << to_json(to_tree(reply), true) << '\n'; break;
    case Format::kYaml: out_ << (replies_ > 1 ? "---\n" : "") << to_yaml(to_tree(reply)); break;
    default:
      if (list_ == nullptr) {
        print_row(reply);
      } else {
        for (int i = 0; i < reflection->FieldSize(reply, list_); ++i) {
          print_row(reflection->GetRepeatedMessage(reply, list_, i));
        }
      }
      if (format_ == Format::kTable || format_ == Format::kWide) table_->flush(out_);
  }
  if (list_ != nullptr) rows_ += static_cast<size_t>(reflection->FieldSize(reply, list_));
  out_.flush();
}

void Printer::print_row(const Message& row) {
  if (format_ == Format::kJsonLines) {
    out_ << to_json(to_tree(row), false) << '\n';
    return;
  }
  if (columns_.empty()) return;
  if (format_ == Format::kName) {
    out_ << clean_line(cell(row, columns_.front().path)) << '\n';
    return;
  }
  std::vector<std::string> cells;
  for (const Column& column : columns_) cells.push_back(cell(row, column.path));
  table_->add(std::move(cells));
}

}  // namespace imctl::host::cli
