#include "cli/catalog.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "cli/text.h"

namespace imctl::host::cli {

namespace {

// Of the services that the module serves.
template <class F>
void for_each_method(const imctl::Manifest& manifest, F&& told) {
  std::set<std::string> served(manifest.serves().begin(), manifest.serves().end());
  std::set<std::string> seen;
  for (const google::protobuf::FileDescriptorProto& file : manifest.file()) {
    if (!seen.insert(file.name()).second) continue;
    for (const google::protobuf::ServiceDescriptorProto& service : file.service()) {
      std::string name =
          file.package().empty() ? service.name() : file.package() + "." + service.name();
      if (!served.contains(name)) continue;
      for (const google::protobuf::MethodDescriptorProto& method : service.method()) {
        told(name, method);
      }
    }
  }
}

}  // namespace

std::string VerbEntry::words() const { return join(path, " "); }

Result<Catalog> Catalog::make(const std::vector<std::string>& manifests) {
  Catalog catalog;
  catalog.modules_.resize(manifests.size());
  for (size_t i = 0; i < manifests.size(); ++i) {
    if (!catalog.modules_[i].manifest.ParseFromString(manifests[i])) {
      return Status(IMCTL_DATA_LOSS,
                    "the host's catalog holds a manifest that is none: is it of "
                    "another version than this program?");
    }
    catalog.add_verbs(i);
  }
  std::stable_sort(catalog.verbs_.begin(), catalog.verbs_.end(),
                   [](const VerbEntry& a, const VerbEntry& b) { return a.path < b.path; });
  for (size_t i = 1; i < catalog.verbs_.size(); ++i) {
    VerbEntry& first = catalog.verbs_[i - 1];
    VerbEntry& second = catalog.verbs_[i];
    if (first.path != second.path) continue;
    first.clash = catalog.modules_[second.module].manifest.name();
    second.clash = catalog.modules_[first.module].manifest.name();
  }
  return catalog;
}

void Catalog::add_verbs(size_t module) {
  for_each_method(
      modules_[module].manifest,
      [&](const std::string& service, const google::protobuf::MethodDescriptorProto& method) {
        if (!method.options().HasExtension(imctl::verb)) return;
        VerbEntry entry;
        entry.verb = method.options().GetExtension(imctl::verb);
        entry.path = split_words(entry.verb.path());
        entry.service = service;
        entry.method = method.name();
        entry.module = module;
        if (!entry.path.empty()) verbs_.push_back(std::move(entry));
      });
}

const VerbEntry* Catalog::find(const std::vector<std::string>& words) const {
  const VerbEntry* best = nullptr;
  for (const VerbEntry& verb : verbs_) {
    if (verb.path.size() > words.size() ||
        !std::equal(verb.path.begin(), verb.path.end(), words.begin())) {
      continue;
    }
    if (best == nullptr || verb.path.size() > best->path.size()) best = &verb;
  }
  return best;
}

std::vector<std::string> Catalog::method_names() const {
  std::set<std::string> names;
  for (const Module& module : modules_) {
    for_each_method(module.manifest, [&](const std::string& service,
                                         const google::protobuf::MethodDescriptorProto& method) {
      names.insert(service + "/" + method.name());
    });
  }
  return {names.begin(), names.end()};
}

std::optional<VerbEntry> Catalog::find_method(const std::string& name) const {
  for (size_t i = 0; i < modules_.size(); ++i) {
    std::optional<VerbEntry> found;
    for_each_method(
        modules_[i].manifest,
        [&](const std::string& service, const google::protobuf::MethodDescriptorProto& method) {
          if (service.size() + 1 + method.name().size() != name.size() ||
              service + "/" + method.name() != name) {
            return;
          }
          found.emplace();
          found->path = {"call", name};
          found->service = service;
          found->method = method.name();
          found->module = i;
        });
    if (found) return found;
  }
  return std::nullopt;
}

std::string Catalog::verb_of(const VerbEntry& entry) const {
  for (const VerbEntry& verb : verbs_) {
    if (verb.service == entry.service && verb.method == entry.method && verb.module == entry.module)
      return verb.words();
  }
  return {};
}

const std::string& Catalog::module_name(const VerbEntry& entry) const {
  return modules_[entry.module].manifest.name();
}

const google::protobuf::Descriptor* Catalog::find_message(const std::string& name) {
  for (size_t i = 0; i < modules_.size(); ++i) {
    Result<const Descriptors*> made = descriptors(i);
    if (!made.ok()) continue;
    if (const auto* found = (*made)->message(name)) return found;
  }
  return nullptr;
}

const google::protobuf::EnumDescriptor* Catalog::find_enum(const std::string& name) {
  for (size_t i = 0; i < modules_.size(); ++i) {
    Result<const Descriptors*> made = descriptors(i);
    if (!made.ok()) continue;
    if (const auto* found = (*made)->pool().FindEnumTypeByName(name)) return found;
  }
  return nullptr;
}

Result<const Descriptors*> Catalog::descriptors(size_t index) {
  Module& module = modules_[index];
  if (module.descriptors == nullptr) {
    Result<std::shared_ptr<Descriptors>> made = Descriptors::make(module.manifest);
    if (!made.ok()) {
      return Status(made.status().code(),
                    "module `" + module.manifest.name() + "`: " + made.status().message());
    }
    module.descriptors = *made;
  }
  return static_cast<const Descriptors*>(module.descriptors.get());
}

Result<const google::protobuf::MethodDescriptor*> Catalog::method(const VerbEntry& verb) {
  if (!verb.clash.empty()) {
    return Status(IMCTL_FAILED_PRECONDITION,
                  "both modules `" + modules_[verb.module].manifest.name() + "` and `" +
                      verb.clash + "` bring this verb: leave one of them out of host.modules");
  }
  return describe(verb);
}

Result<const google::protobuf::MethodDescriptor*> Catalog::describe(const VerbEntry& verb) {
  Result<const Descriptors*> made = descriptors(verb.module);
  if (!made.ok()) return made.status();
  const google::protobuf::ServiceDescriptor* service = (*made)->service(verb.service);
  const google::protobuf::MethodDescriptor* method =
      service == nullptr ? nullptr : service->FindMethodByName(verb.method);
  if (method == nullptr) {
    return Status(IMCTL_DATA_LOSS, "module `" + module_name(verb) + "`: its descriptors lack " +
                                       verb.service + "/" + verb.method);
  }
  return method;
}

std::string reflow(const std::string& comment) {
  std::string text;
  bool item = false;  // the last line belongs to an item of a list
  std::istringstream lines(comment);
  for (std::string line; std::getline(lines, line);) {
    size_t indent = line.find_first_not_of(' ');
    if (indent == std::string::npos) {
      if (!text.empty() && !text.ends_with("\n\n")) text += text.ends_with('\n') ? "\n" : "\n\n";
      item = false;
      continue;
    }
    line.erase(0, indent);
    bool begins_item = line.starts_with("- ");
    // Text that goes on in an item is indented further than the item's dash.
    bool ends_list = item && !begins_item && indent < 2;
    if (!text.empty() && !text.ends_with('\n')) text += begins_item || ends_list ? '\n' : ' ';
    item = begins_item || (item && !ends_list);
    text += line;
  }
  while (text.ends_with('\n') || text.ends_with(' ')) text.pop_back();
  return text;
}

std::string summary(const std::string& comment) {
  size_t end = comment.find('\n');
  for (size_t i = 0; i < std::min(end, comment.size()); ++i) {
    if (comment[i] == '.' &&
        (i + 1 == comment.size() || comment[i + 1] == ' ' || comment[i + 1] == '\n')) {
      end = i;
    }
  }
  return comment.substr(0, end);
}

}  // namespace imctl::host::cli
