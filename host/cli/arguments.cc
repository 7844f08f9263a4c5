#include "cli/arguments.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <cctype>
#include <map>
#include <set>

#include "cli/field_value.h"
#include "cli/flags.h"
#include "cli/secret.h"
#include "cli/suggest.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

namespace po = boost::program_options;
using google::protobuf::FieldDescriptor;

bool is_bool(const FieldDescriptor* field) {
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) return true;
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field->message_type()->well_known_type() ==
             google::protobuf::Descriptor::WELLKNOWNTYPE_BOOLVALUE;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

Arguments::Arguments(const google::protobuf::Descriptor* request, const imctl::Verb& verb) {
  std::set<const FieldDescriptor*> placed;
  for (const std::string& name : verb.positional()) {
    const FieldDescriptor* field = request->FindFieldByName(name);
    if (field == nullptr || !placed.insert(field).second) continue;
    std::string called = dashed(name);
    // "ID..." reads better than "IDS...".
    if (field->is_repeated() && called.size() > 1 && called.back() == 's') called.pop_back();
    all_.push_back({field, upper(called), 0, true});
  }
  std::set<std::string> taken(flag_names().begin(), flag_names().end());
  taken.insert("file");
  std::map<std::string, char> shorts;
  for (const std::string& pair : verb.short_flags()) {
    if (pair.size() > 2 && pair[1] == '=' && taken.insert(pair.substr(0, 1)).second) {
      shorts[pair.substr(2)] = pair[0];
      if (pair[0] == 'f') file_short_ = false;
    }
  }
  for (int i = 0; i < request->field_count(); ++i) {
    const FieldDescriptor* field = request->field(i);
    if (placed.contains(field)) continue;
    std::string flag = dashed(field->name());
    if (!taken.insert(flag).second) flag.insert(0, "field-");
    auto found = shorts.find(field->name());
    all_.push_back({field, flag, found == shorts.end() ? '\0' : found->second, false});
  }
}

std::string Arguments::label(const FieldDescriptor* field) const {
  for (const Argument& argument : all_) {
    if (argument.field == field) return argument.positional ? argument.flag : "--" + argument.flag;
  }
  return field->name();
}

Result<Given> Arguments::parse(const std::vector<std::string>& tokens) const {
  po::options_description known;
  known.add_options()(file_short_ ? "file,f" : "file", po::value<std::string>());
  std::map<std::string, const Argument*> flags;
  std::vector<const Argument*> places;
  std::vector<std::string> names = {"file"};
  for (const Argument& argument : all_) {
    if (argument.positional) {
      places.push_back(&argument);
      continue;
    }
    auto* value = po::value<std::string>();
    if (is_bool(argument.field)) value->implicit_value("true");
    if (is_secret(argument.field)) value->implicit_value("");
    std::string name = argument.flag;
    if (argument.short_flag != 0) name += std::string(",") + argument.short_flag;
    known.add_options()(name.c_str(), value);
    flags[argument.flag] = &argument;
    names.push_back(argument.flag);
  }
  names.insert(names.end(), flag_names().begin(), flag_names().end());

  Given given;
  try {
    po::parsed_options parsed =
        po::command_line_parser(tokens)
            .options(known)
            .style(po::command_line_style::unix_style & ~po::command_line_style::allow_guessing)
            .run();
    size_t place = 0;
    for (const po::option& option : parsed.options) {
      std::string text = option.value.empty() ? "" : option.value.front();
      if (option.string_key == "file") {
        if (!given.file.empty()) return Status(IMCTL_INVALID_ARGUMENT, "-f is there twice");
        if (text.empty())
          return Status(IMCTL_INVALID_ARGUMENT, "-f needs a file, or - for standard input");
        given.file = text;
      } else if (!option.string_key.empty()) {
        const FieldDescriptor* field = flags.at(option.string_key)->field;
        if (option.value.empty() && is_bool(field)) text = "true";
        given.values.emplace_back(field, text);
      } else if (place < places.size()) {
        given.values.emplace_back(places[place]->field, text);
        if (!places[place]->field->is_repeated()) ++place;
      } else {
        return Status(
            IMCTL_INVALID_ARGUMENT,
            "what is '" + clean_line(text) + "' for? There " +
                (places.empty() ? "are no arguments without a flag" : "is one argument too many"));
      }
    }
  } catch (const po::unknown_option& error) {
    std::string typed = error.get_option_name();
    std::string bare = typed.substr(std::min(typed.find_first_not_of('-'), typed.size()));
    std::string near = nearest(bare, names);
    return Status(IMCTL_INVALID_ARGUMENT,
                  "no such flag " + clean_line(typed) +
                      (near.empty() ? "" : " (did you mean --" + near + "?)"));
  } catch (const po::invalid_command_line_syntax& error) {
    return Status(IMCTL_INVALID_ARGUMENT, error.get_option_name() + " needs a value");
  } catch (const po::error& error) {
    return Status(IMCTL_INVALID_ARGUMENT, error.what());
  }
  Status status = check(given);
  if (!status.ok()) return status;
  return given;
}

Status Arguments::check(const Given& given) const {
  std::set<const FieldDescriptor*> seen;
  std::map<const google::protobuf::OneofDescriptor*, const FieldDescriptor*> chosen;
  for (const auto& [field, text] : given.values) {
    if (!field->is_repeated() && !seen.insert(field).second) {
      return {IMCTL_INVALID_ARGUMENT, label(field) + " is there twice"};
    }
    const google::protobuf::OneofDescriptor* oneof = field->real_containing_oneof();
    if (oneof == nullptr) continue;
    const FieldDescriptor*& other = chosen[oneof];
    if (other != nullptr && other != field) {
      return {IMCTL_INVALID_ARGUMENT,
              label(other) + " and " + label(field) + " exclude each other"};
    }
    other = field;
  }
  return {};
}

Status Arguments::read_secrets(Given* given) const {
  for (auto& [field, text] : given->values) {
    if (!is_secret(field)) continue;
    Result<std::string> secret = read_secret(label(field), text);
    if (!secret.ok()) {
      return {secret.status().code(), label(field) + ": " + secret.status().message()};
    }
    text = std::move(*secret);
  }
  return {};
}

Status Arguments::apply(const Given& given, google::protobuf::Message* message) const {
  std::set<const FieldDescriptor*> replaced;
  for (const auto& [field, text] : given.values) {
    if (!field->is_map() && replaced.insert(field).second) {
      message->GetReflection()->ClearField(message, field);
    }
    Status status = set_field(message, field, text);
    // The clause of set_field shows what it was given.
    if (!status.ok() && is_secret(field)) status = Status(status.code(), "is not a valid value");
    if (!status.ok()) return {status.code(), label(field) + ": " + status.message()};
  }
  return {};
}

}  // namespace imctl::host::cli
