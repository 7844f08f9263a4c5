#include "core/settings_explain.h"

#include <google/protobuf/descriptor.h>

#include <utility>

#include "core/host.h"
#include "core/settings_field.h"
#include "core/settings_text.h"

namespace imctl::host {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

std::string type_of(const FieldDescriptor& field, const imctl::Setting& options) {
  std::string type;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: type = options.secret() ? "secret" : "text"; break;
    case FieldDescriptor::CPPTYPE_BOOL: type = "switch"; break;
    case FieldDescriptor::CPPTYPE_ENUM: type = "choice"; break;
    case FieldDescriptor::CPPTYPE_MESSAGE: type = "duration"; break;
    default: type = options.unit() == UNIT_BYTES ? "size" : "number";
  }
  return field.is_repeated() ? "list of " + type + "s" : type;
}

std::string bounds_of(const FieldDescriptor& field, const imctl::Setting& options) {
  std::vector<std::string> parts;
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    const auto* type = field.enum_type();
    std::vector<std::string> names;
    names.reserve(static_cast<size_t>(type->value_count()));
    for (int i = 0; i < type->value_count(); ++i) {
      names.push_back(SettingField::choice_name(type->value(i)));
    }
    parts.push_back(join(names, "|"));
  }
  if (!options.pattern().empty()) parts.push_back(options.pattern());
  bool length = field.is_repeated() || field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  std::string range;
  if (!options.min().empty() && !options.max().empty()) {
    range = options.min() + ".." + options.max();
  } else if (!options.min().empty()) {
    range = "at least " + options.min();
  } else if (!options.max().empty()) {
    range = "at most " + options.max();
  }
  if (!range.empty() && length) range += field.is_repeated() ? " items" : " characters";
  if (!range.empty()) parts.push_back(std::move(range));
  return join(parts, ", ");
}

// One line of what the .proto says above the field.
std::string help_of(const FieldDescriptor& field) {
  google::protobuf::SourceLocation location;
  if (!field.GetSourceLocation(&location)) return {};
  std::string text;
  for (char c : location.leading_comments) {
    bool blank = c == '\n' || c == ' ';
    if (!blank) {
      text += c;
    } else if (!text.empty() && text.back() != ' ') {
      text += ' ';
    }
  }
  return std::string(trim(text));
}

void explain(const std::string& section, const Descriptor* schema,
             std::vector<SettingExplanation>* all) {
  for (int i = 0; schema != nullptr && i < schema->field_count(); ++i) {
    const FieldDescriptor& field = *schema->field(i);
    Result<SettingField> setting = SettingField::make(&field);
    if (!setting.ok()) continue;
    const imctl::Setting& options = setting->options();
    SettingExplanation one;
    one.key = section + "." + field.name();
    one.type = type_of(field, options);
    one.default_text = setting->printable_default();
    one.bounds = bounds_of(field, options);
    one.live = options.live();
    one.secret = options.secret();
    one.required = options.required();
    one.env.push_back(variable_name(section, field.name()));
    one.env.insert(one.env.end(), options.env().begin(), options.env().end());
    one.help = help_of(field);
    all->push_back(std::move(one));
  }
}

}  // namespace

Result<std::vector<SettingExplanation>> explain_settings(const Host& host, const std::string& key) {
  std::vector<SettingExplanation> all;
  const Descriptors& own = *host.find_module("host")->description().descriptors;
  explain("host", own.message("imctl.host.v1.Config"), &all);
  explain("bind", own.message("imctl.host.v1.BindConfig"), &all);
  const Descriptor* of_all = own.message("imctl.host.v1.ModuleConfig");
  for (auto view = host.modules().view();
       const std::shared_ptr<Instance>& instance : view->modules) {
    const Description& description = instance->description();
    if (description.is_builtin() || !description.remote.empty()) continue;
    if (!description.manifest().config().empty()) {
      explain(instance->name(), description.descriptors->message(description.manifest().config()),
              &all);
    }
    explain(instance->name(), of_all, &all);
  }
  if (key.empty()) return all;
  std::vector<SettingExplanation> chosen;
  std::vector<std::string> names;
  for (SettingExplanation& one : all) {
    names.push_back(one.key);
    std::string section = one.key.substr(0, one.key.find('.'));
    if (one.key == key || section == key) chosen.push_back(std::move(one));
  }
  if (!chosen.empty()) return chosen;
  std::string near = nearest(key, names);
  return Status(IMCTL_NOT_FOUND, "no module that runs has the setting or the section " + key +
                                     (near.empty() ? "; `imctl config explain` shows what there is"
                                                   : "; did you mean " + near + "?"));
}

}  // namespace imctl::host
