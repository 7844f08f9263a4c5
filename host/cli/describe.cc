#include "cli/describe.h"

#include <algorithm>
#include <vector>

#include "cli/field_value.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "cli/tree_list.h"
#include "imctl/options.pb.h"

namespace imctl::host::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::MethodOptions;

const imctl::Rules& rules_of(const MethodDescriptor* method) {
  return method->options().GetExtension(imctl::rules);
}

std::string effect_of(const MethodDescriptor* method) {
  switch (method->options().idempotency_level()) {
    case MethodOptions::NO_SIDE_EFFECTS: return "reads";
    case MethodOptions::IDEMPOTENT: return "writes, may be repeated";
    default: return "writes";
  }
}

std::string access_of(const MethodDescriptor* method) {
  std::string name = imctl::Access_Name(rules_of(method).access());
  return lower(name.substr(name.find('_') + 1));
}

std::string streams_of(const MethodDescriptor* method) {
  if (method->client_streaming() && method->server_streaming()) return "both";
  if (method->client_streaming()) return "requests";
  return method->server_streaming() ? "replies" : "";
}

// Types that everybody knows are not taken apart.
bool is_well_known(const Descriptor* type) {
  return type->well_known_type() != Descriptor::WELLKNOWNTYPE_UNSPECIFIED;
}

std::string scalar_type(const FieldDescriptor* field) {
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
    return field->message_type()->full_name();
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) return field->enum_type()->full_name();
  return field->type_name();
}

std::string type_of(const FieldDescriptor* field) {
  if (field->is_map()) {
    return "map<" + scalar_type(field->message_type()->map_key()) + ", " +
           scalar_type(field->message_type()->map_value()) + ">";
  }
  return (field->is_repeated() ? "repeated " : "") + scalar_type(field);
}

Tree values_tree(const EnumDescriptor* type) {
  Tree list = Tree::list();
  for (int i = 0; i < type->value_count(); ++i) {
    Tree value = Tree::object();
    value.add("name", Tree::string(type->value(i)->name()));
    value.add("number", Tree::literal(std::to_string(type->value(i)->number())));
    value.add("help", Tree::string(comment_of(type->value(i))));
    list.items.push_back(std::move(value));
  }
  return list;
}

Tree fields_tree(const Descriptor* type, std::vector<const Descriptor*>* path);

Tree field_tree(const FieldDescriptor* field, std::vector<const Descriptor*>* path) {
  Tree tree = Tree::object();
  tree.add("name", Tree::string(field->name()));
  tree.add("type", Tree::string(type_of(field)));
  std::vector<std::string> notes;
  const imctl::Field& options = field->options().GetExtension(imctl::field);
  if (field->real_containing_oneof() != nullptr)
    notes.push_back("one of " + field->real_containing_oneof()->name());
  if (field->has_optional_keyword()) notes.emplace_back("optional");
  if (options.secret()) notes.emplace_back("secret");
  if (options.file()) notes.emplace_back("a file of the client's");
  if (options.lines()) notes.emplace_back("lines of standard input");
  if (!options.names().empty()) notes.push_back("names a " + options.names());
  if (options.unit() == imctl::UNIT_BYTES) notes.emplace_back("in bytes");
  if (!options.default_().empty()) notes.push_back("default " + options.default_());
  tree.add("notes", Tree::string(join(notes, ", ")));
  tree.add("help", Tree::string(comment_of(field)));
  const FieldDescriptor* value = field->is_map() ? field->message_type()->map_value() : field;
  if (value->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    tree.add("values", values_tree(value->enum_type()));
  }
  if (value->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
      !is_well_known(value->message_type())) {
    bool above = std::find(path->begin(), path->end(), value->message_type()) != path->end();
    if (!above) tree.add("fields", fields_tree(value->message_type(), path));
  }
  return tree;
}

Tree fields_tree(const Descriptor* type, std::vector<const Descriptor*>* path) {
  Tree list = Tree::list();
  path->push_back(type);
  for (int i = 0; i < type->field_count(); ++i) {
    list.items.push_back(field_tree(type->field(i), path));
  }
  path->pop_back();
  return list;
}

Tree message_tree(const Descriptor* type) {
  std::vector<const Descriptor*> path;
  Tree tree = Tree::object();
  tree.add("type", Tree::string(type->full_name()));
  tree.add("help", Tree::string(comment_of(type)));
  tree.add("fields", is_well_known(type) ? Tree::list() : fields_tree(type, &path));
  return tree;
}

Tree errors_tree(const MethodDescriptor* method) {
  Tree list = Tree::list();
  auto add = [&](const std::string& code, const std::string& when) {
    Tree error = Tree::object();
    error.add("code", Tree::string(code));
    error.add("when", Tree::string(when));
    list.items.push_back(std::move(error));
  };
  for (const imctl::Error& error : rules_of(method).errors()) add(error.code(), error.when());
  bool reads = method->options().idempotency_level() == MethodOptions::NO_SIDE_EFFECTS;
  if (!reads && !rules_of(method).dry_run()) {
    add("FAILED_PRECONDITION", "with --dry-run: the method does not support it");
  }
  if (rules_of(method).access() != imctl::ACCESS_PUBLIC) {
    add("UNAUTHENTICATED", "nothing proves who calls");
    add("PERMISSION_DENIED", "who calls may not");
  }
  add("RESOURCE_EXHAUSTED", "the host has too much to do: later it may go well");
  add("UNAVAILABLE", "the module is stopping, or its host does not answer");
  add("DEADLINE_EXCEEDED", "--timeout, or the caller's deadline, is over");
  return list;
}

const Tree& at(const Tree& object, const std::string& key) {
  static const Tree kNothing;
  auto found = std::find(object.keys.begin(), object.keys.end(), key);
  return found == object.keys.end()
             ? kNothing
             : object.items[static_cast<size_t>(found - object.keys.begin())];
}

class Text {
 public:
  Text(size_t width, bool color) : width_(width), color_(color) {}

  void paragraph(const std::string& text, size_t indent) {
    if (!text.empty()) out += wrap(clean(text), indent, width_);
  }
  void title(const std::string& text) {
    out += (out.empty() ? "" : "\n") + bold(text, color_) + "\n";
  }

  void fields(const Tree& list, size_t indent) {
    for (const Tree& field : list.items) {
      std::string notes = text_at(field, "notes");
      out += std::string(indent, ' ') + bold(text_at(field, "name"), color_) + "  " +
             text_at(field, "type") + (notes.empty() ? "" : "  (" + clean_line(notes) + ")") + "\n";
      paragraph(text_at(field, "help"), indent + 4);
      values(at(field, "values"), indent + 4);
      fields(at(field, "fields"), indent + 2);
    }
  }
  void values(const Tree& list, size_t indent) {
    for (const Tree& value : list.items) {
      std::string help = text_at(value, "help");
      paragraph("- " + text_at(value, "name") + (help.empty() ? "" : ": " + help), indent);
    }
  }
  void message(const std::string& what, const Tree& message) {
    title(what + text_at(message, "type"));
    paragraph(text_at(message, "help"), 2);
    fields(at(message, "fields"), 2);
    if (at(message, "fields").items.empty()) out += "  (nothing)\n";
  }

  std::string out;

 private:
  // Comments are of others; what they hold must not drive a terminal.
  static std::string clean(const std::string& text) {
    std::string result;
    size_t start = 0;
    while (start <= text.size()) {
      size_t end = std::min(text.find('\n', start), text.size());
      result += (start > 0 ? "\n" : "") + clean_line(text.substr(start, end - start));
      start = end + 1;
    }
    return result;
  }

  size_t width_;
  bool color_;
};

}  // namespace

Tree method_summary(const MethodDescriptor* method, const std::string& module,
                    const std::string& verb) {
  Tree tree = Tree::object();
  tree.add("method", Tree::string(method->service()->full_name() + "/" + method->name()));
  tree.add("verb", Tree::string(verb));
  tree.add("effect", Tree::string(effect_of(method)));
  tree.add("access", Tree::string(access_of(method)));
  tree.add("streams", Tree::string(streams_of(method)));
  bool reads = method->options().idempotency_level() == MethodOptions::NO_SIDE_EFFECTS;
  tree.add("dry_run", Tree::literal(reads || rules_of(method).dry_run() ? "true" : "false"));
  tree.add("module", Tree::string(module));
  return tree;
}

Tree describe(const MethodDescriptor* method, const std::string& module, const std::string& verb) {
  Tree tree = method_summary(method, module, verb);
  tree.add("help", Tree::string(comment_of(method)));
  tree.add("request", message_tree(method->input_type()));
  tree.add("reply", message_tree(method->output_type()));
  tree.add("errors", errors_tree(method));
  return tree;
}

Tree describe(const Descriptor* type) { return message_tree(type); }

Tree describe(const EnumDescriptor* type) {
  Tree tree = Tree::object();
  tree.add("type", Tree::string(type->full_name()));
  tree.add("help", Tree::string(comment_of(type)));
  tree.add("values", values_tree(type));
  return tree;
}

std::string description_text(const Tree& description, size_t width, bool color) {
  Text text(width, color);
  if (text_at(description, "method").empty()) {
    if (at(description, "values").items.empty()) {
      text.message("", description);
    } else {
      text.title(text_at(description, "type"));
      text.paragraph(text_at(description, "help"), 2);
      text.values(at(description, "values"), 2);
    }
    return text.out;
  }
  std::string verb = text_at(description, "verb");
  text.title(text_at(description, "method") + (verb.empty() ? "" : "  (imctl " + verb + ")"));
  text.paragraph(text_at(description, "help"), 2);
  text.out += "\n";
  std::string streams = text_at(description, "streams");
  TwoColumns facts = {{"Module:", text_at(description, "module")},
                      {"Effect:", text_at(description, "effect")},
                      {"Dry run:", text_at(description, "dry_run") == "true" ? "yes" : "no"},
                      {"Access:", text_at(description, "access")},
                      {"Streams:", streams.empty() ? "none" : streams}};
  text.out += two_columns(facts, width);
  text.message("Request: ", at(description, "request"));
  text.message("Reply: ", at(description, "reply"));
  text.title("Errors:");
  TwoColumns errors;
  for (const Tree& error : at(description, "errors").items) {
    errors.emplace_back(text_at(error, "code"), clean_line(text_at(error, "when")));
  }
  text.out += two_columns(errors, width);
  return text.out;
}

}  // namespace imctl::host::cli
