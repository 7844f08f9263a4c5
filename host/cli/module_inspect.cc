// `imctl module inspect FILE.so`: the manifest, none of the module's code.
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <memory>

#include "cli/catalog.h"
#include "cli/field_value.h"
#include "cli/host_verbs.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "core/descriptors.h"
#include "core/module_file.h"
#include "core/settings_field.h"
#include "imctl/options.pb.h"

namespace imctl::host::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

Tree number(uint64_t value) { return Tree::literal(std::to_string(value)); }
Tree boolean(bool value) { return Tree::literal(value ? "true" : "false"); }

template <class List>
Tree strings(const List& list) {
  Tree tree = Tree::list();
  for (const auto& text : list) tree.items.push_back(Tree::string(text));
  return tree;
}

std::string access_name(const MethodDescriptor* method) {
  std::string name = imctl::Access_Name(method->options().GetExtension(imctl::rules).access());
  return lower(name.substr(std::string("ACCESS_").size()));
}

Tree method_tree(const MethodDescriptor* method) {
  const imctl::Rules& rules = method->options().GetExtension(imctl::rules);
  Tree tree = Tree::object();
  tree.add("name", Tree::string(method->name()));
  tree.add("request", Tree::string(method->input_type()->full_name()));
  tree.add("reply", Tree::string(method->output_type()->full_name()));
  tree.add("client_streams", boolean(method->client_streaming()));
  tree.add("server_streams", boolean(method->server_streaming()));
  tree.add("access", Tree::string(access_name(method)));
  tree.add("dry_run", boolean(rules.dry_run()));
  tree.add("verb", Tree::string(method->options().GetExtension(imctl::verb).path()));
  tree.add("help", Tree::string(comment_of(method)));
  return tree;
}

std::string setting_type(const FieldDescriptor* field) {
  const imctl::Setting& options = field->options().GetExtension(imctl::setting);
  std::string type = options.unit() == imctl::UNIT_BYTES ? "SIZE" : value_name(field);
  return field->is_repeated() ? type + ",..." : type;
}

Tree setting_tree(const FieldDescriptor* field) {
  const imctl::Setting& options = field->options().GetExtension(imctl::setting);
  Result<SettingField> setting = SettingField::make(field);
  Tree tree = Tree::object();
  tree.add("key", Tree::string(field->name()));
  tree.add("type", Tree::string(setting_type(field)));
  tree.add("default",
           Tree::string(setting.ok() ? setting->printable_default() : options.default_()));
  tree.add("required", boolean(options.required()));
  tree.add("secret", boolean(options.secret()));
  tree.add("environment", strings(options.env()));
  tree.add("help", Tree::string(comment_of(field)));
  return tree;
}

// All there is to know, as data.
Tree module_tree(const ModuleFile& file, const Descriptors& descriptors, const Status& loadable) {
  const Manifest& manifest = file.manifest;
  Tree tree = Tree::object();
  tree.add("file", Tree::string(file.path));
  tree.add("name", Tree::string(manifest.name()));
  tree.add("version", Tree::string(manifest.version()));
  tree.add("description", Tree::string(manifest.description()));
  tree.add("abi_min", number(manifest.abi_min()));
  tree.add("abi_max", number(manifest.abi_max()));
  tree.add("abi_pin", Tree::string(manifest.abi_pin()));
  tree.add("loadable", boolean(loadable.ok()));
  tree.add("reason", Tree::string(loadable.message()));
  Tree services = Tree::list();
  for (const std::string& name : manifest.serves()) {
    Tree service = Tree::object();
    service.add("name", Tree::string(name));
    Tree methods = Tree::list();
    if (const ServiceDescriptor* found = descriptors.service(name)) {
      for (int i = 0; i < found->method_count(); ++i)
        methods.items.push_back(method_tree(found->method(i)));
    }
    service.add("methods", std::move(methods));
    services.items.push_back(std::move(service));
  }
  tree.add("services", std::move(services));
  Tree requirements = Tree::list();
  for (const imctl::Requirement& requirement : manifest.needs()) {
    Tree one = Tree::object();
    one.add("service", Tree::string(requirement.service()));
    one.add("optional", boolean(requirement.optional()));
    requirements.items.push_back(std::move(one));
  }
  tree.add("needs", std::move(requirements));
  Tree settings = Tree::list();
  if (const Descriptor* config = descriptors.message(manifest.config())) {
    for (int i = 0; i < config->field_count(); ++i)
      settings.items.push_back(setting_tree(config->field(i)));
  }
  tree.add("settings", std::move(settings));
  tree.add("pool_threads", number(manifest.pool_threads()));
  tree.add("concurrent_copies", boolean(manifest.concurrent_copies()));
  tree.add("libraries", strings(file.needed));
  return tree;
}

const Tree& at(const Tree& tree, const std::string& key) {
  auto found = std::find(tree.keys.begin(), tree.keys.end(), key);
  return tree.items[static_cast<size_t>(found - tree.keys.begin())];
}

void print_settings(const Tree& settings, std::ostream& out) {
  Table table({"  KEY", "TYPE", "DEFAULT", "ENVIRONMENT", "HELP"}, {});
  for (const Tree& setting : settings.items) {
    std::vector<std::string> environment;
    for (const Tree& name : at(setting, "environment").items) environment.push_back(name.text);
    bool required = at(setting, "required").text == "true";
    table.add({"  " + at(setting, "key").text, at(setting, "type").text,
               required ? "(required)" : at(setting, "default").text, join(environment, ","),
               summary(one_line(at(setting, "help").text))});
  }
  table.flush(out);
}

// The same for people.
void print_text(const Tree& module, const Manifest& manifest, std::ostream& out) {
  auto line = [&](const char* label, const std::string& text) {
    if (!text.empty()) out << label << clean_line(text) << '\n';
  };
  line("Name:         ", at(module, "name").text);
  line("Version:      ", at(module, "version").text);
  line("Description:  ", at(module, "description").text);
  std::string range = std::to_string(manifest.abi_min());
  if (manifest.abi_max() != manifest.abi_min())
    range += " to " + std::to_string(manifest.abi_max());
  if (!manifest.abi_pin().empty())
    range += ", built with module.h " + manifest.abi_pin().substr(0, 12);
  line("ABI:          ", range);
  bool loadable = at(module, "loadable").text == "true";
  line("Loads here:   ", loadable ? "yes" : "no: " + at(module, "reason").text);
  out << "Serves:\n";
  for (const Tree& service : at(module, "services").items) {
    out << "  " << clean_line(at(service, "name").text) << '\n';
    Table table({"METHOD", "KIND", "ACCESS", "VERB"}, {false});
    for (const Tree& method : at(service, "methods").items) {
      bool from = at(method, "client_streams").text == "true";
      bool to = at(method, "server_streams").text == "true";
      const std::string& verb = at(method, "verb").text;
      table.add({"    " + at(method, "name").text,
                 from && to ? "both stream"
                 : from     ? "client streams"
                 : to       ? "server streams"
                            : "unary",
                 at(method, "access").text, verb.empty() ? "" : "imctl " + verb});
    }
    table.flush(out);
  }
  if (manifest.needs_size() > 0) out << "Needs:\n";
  for (const imctl::Requirement& requirement : manifest.needs()) {
    out << "  " << clean_line(requirement.service())
        << (requirement.optional() ? " (optional)" : "") << '\n';
  }
  const Tree& settings = at(module, "settings");
  if (!settings.items.empty()) {
    out << "Settings, section [" << clean_line(manifest.name()) << "]:\n";
    print_settings(settings, out);
  }
  const Tree& libraries = at(module, "libraries");
  if (!libraries.items.empty()) out << "Libraries:\n";
  for (const Tree& library : libraries.items) out << "  " << clean_line(library.text) << '\n';
}

}  // namespace

Status inspect_module(LocalCall& call) {
  if (call.arguments.size() != 1 || call.arguments.front().starts_with('-')) {
    call.usage = true;
    return {IMCTL_INVALID_ARGUMENT, "it takes one argument, a module's shared object"};
  }
  Result<ModuleFile> file = read_module_file(call.arguments.front());
  if (!file.ok()) return file.status();
  Result<std::shared_ptr<Descriptors>> descriptors = Descriptors::make(file->manifest);
  if (!descriptors.ok()) {
    return {descriptors.status().code(), file->path + ": " + descriptors.status().message()};
  }
  Tree tree = module_tree(*file, **descriptors, check_manifest(*file));
  switch (call.flags.format()) {
    case Format::kJson: call.out << to_json(tree, true) << '\n'; break;
    case Format::kJsonLines: call.out << to_json(tree, false) << '\n'; break;
    case Format::kYaml: call.out << to_yaml(tree); break;
    case Format::kName: call.out << clean_line(file->manifest.name()) << '\n'; break;
    case Format::kTable:
    case Format::kWide: print_text(tree, file->manifest, call.out); break;
  }
  return {};
}

}  // namespace imctl::host::cli
