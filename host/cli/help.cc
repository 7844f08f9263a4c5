#include "cli/help.h"

#include <algorithm>
#include <utility>

#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/field_value.h"
#include "cli/flags.h"
#include "cli/local_verbs.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

std::string argument_name(const Argument& argument) {
  const auto* field = argument.field;
  if (argument.positional) return argument.flag + (field->is_repeated() ? "..." : "");
  std::string name = argument.short_flag == 0 ? "" : std::string("-") + argument.short_flag + ", ";
  name += "--" + argument.flag;
  if (is_secret(field)) return name + "[=@FILE]";
  std::string value = value_name(field);
  if (value == "BOOL") return name;
  return name + " " + value;
}

std::string argument_help(const Argument& argument) {
  std::string text = comment_of(argument.field);
  std::string note;
  if (argument.positional && value_name(argument.field) != "TEXT")
    note = value_name(argument.field);
  if (is_secret(argument.field)) note = "asked for if no file is given";
  if (!argument.positional && argument.field->is_repeated()) note = "may be repeated";
  std::string absent = argument.field->options().GetExtension(imctl::field).default_();
  if (!absent.empty()) note += (note.empty() ? "default " : ", default ") + absent;
  if (!note.empty()) text += (text.empty() ? "(" : " (") + note + ")";
  return text;
}

std::string usage_line(const VerbEntry& verb, const Arguments& arguments) {
  std::string line = "Usage: imctl " + verb.words();
  bool flags = false;
  for (const Argument& argument : arguments.all()) {
    if (argument.positional) {
      line += " [" + argument.flag + (argument.field->is_repeated() ? "...]" : "]");
    } else {
      flags = true;
    }
  }
  return line + (flags ? " [--flag VALUE]..." : "") +
         (arguments.file_short() ? " [-f FILE|-]\n" : " [--file FILE|-]\n");
}

}  // namespace

std::string version_line() { return "imctl " IMCTL_VERSION; }

std::string list_help(Catalog* catalog, const std::vector<std::string>& words, size_t width) {
  auto below = [&](const std::vector<std::string>& path) {
    return words.size() <= path.size() && std::equal(words.begin(), words.end(), path.begin());
  };
  TwoColumns lines;
  for (const LocalVerb& verb : local_verbs()) {
    if (!verb.hidden && below(split_words(verb.path))) lines.emplace_back(verb.path, verb.summary);
  }
  if (catalog != nullptr) {
    for (const VerbEntry& verb : catalog->verbs()) {
      if (!below(verb.path)) continue;
      Result<const google::protobuf::MethodDescriptor*> method = catalog->describe(verb);
      lines.emplace_back(verb.words(),
                         method.ok() ? summary(comment_of(*method)) : method.status().message());
    }
  }
  if (lines.empty()) return {};
  std::sort(lines.begin(), lines.end());
  if (!words.empty()) {
    return "Usage: imctl " + join(words, " ") + " VERB [ARG...] [--flag VALUE]...\n\nVerbs:\n" +
           two_columns(lines, width) + "\nMore of each: imctl " + join(words, " ") +
           " VERB --help\n";
  }
  return "Usage: imctl NOUN VERB [ARG...] [--flag VALUE]...\n\n"
         "Runs an instant-messaging back end of loadable modules, and speaks to one.\n\nVerbs:\n" +
         two_columns(lines, width) + "\nFlags of every verb:\n" + flags_help(width) +
         "\nMore of each: imctl NOUN VERB --help\n";
}

Result<std::string> verb_help(Catalog& catalog, const VerbEntry& verb, size_t width) {
  Result<const google::protobuf::MethodDescriptor*> method = catalog.describe(verb);
  if (!method.ok()) return method.status();
  Arguments arguments((*method)->input_type(), verb.verb);
  std::string text = usage_line(verb, arguments);
  std::string description = comment_of(*method);
  if (!description.empty()) text += "\n" + wrap(description, 0, width);
  TwoColumns places;
  TwoColumns flags;
  for (const Argument& argument : arguments.all()) {
    (argument.positional ? places : flags)
        .emplace_back(argument_name(argument), argument_help(argument));
  }
  flags.emplace_back(
      arguments.file_short() ? "-f, --file FILE|-" : "--file FILE|-",
      (*method)->client_streaming()
          ? "the requests as JSON or YAML, one document each; flags change all of them"
          : "the request as JSON or YAML; flags override it");
  if (!places.empty()) text += "\nArguments:\n" + two_columns(places, width);
  text += "\nFlags:\n" + two_columns(flags, width);
  if (verb.verb.examples_size() > 0) {
    text += "\nExamples:\n";
    for (const imctl::Example& example : verb.verb.examples()) {
      text += wrap("# " + example.what(), 2, width) + "  " + example.command() + "\n";
    }
  }
  text += "\nExit codes:\n" + std::string(exit_code_help()) +
          "\nThe flags of every verb: imctl --help\n";
  return text;
}

}  // namespace imctl::host::cli
