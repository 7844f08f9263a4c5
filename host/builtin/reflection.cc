#include "builtin/reflection.h"

#include <set>

#include "core/host.h"

namespace imctl::host {
namespace {

using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorProto;

std::string bytes_of(const FileDescriptor& file) {
  FileDescriptorProto proto;
  file.CopyTo(&proto);
  return proto.SerializeAsString();
}

// Is there a file of the same path and other content, here or among its imports, in a module
// before?
bool clashes(const Host& host, const Instance& owner, const FileDescriptor& file) {
  std::string own = bytes_of(file);
  for (auto view = host.modules().view(); const std::shared_ptr<Instance>& other : view->modules) {
    if (other.get() == &owner) return false;  // the first keeps the plain path
    const FileDescriptor* same =
        other->description().descriptors->pool().FindFileByName(file.name());
    if (same != nullptr && bytes_of(*same) != own) return true;
  }
  return false;
}

std::string shown_name(const Host& host, const Instance& owner, const FileDescriptor& file) {
  return clashes(host, owner, file) ? owner.name() + "/" + file.name() : file.name();
}

void collect(const Host& host, const Instance& owner, const FileDescriptor& file,
             std::set<const FileDescriptor*>* seen, std::vector<std::string>* files) {
  if (!seen->insert(&file).second) return;
  FileDescriptorProto proto;
  file.CopyTo(&proto);
  proto.set_name(shown_name(host, owner, file));
  for (int i = 0; i < file.dependency_count(); ++i) {
    proto.set_dependency(i, shown_name(host, owner, *file.dependency(i)));
  }
  files->push_back(proto.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i)
    collect(host, owner, *file.dependency(i), seen, files);
}

std::vector<std::string> with_imports(const Host& host, const Instance& owner,
                                      const FileDescriptor& file) {
  std::set<const FileDescriptor*> seen;
  std::vector<std::string> files;
  collect(host, owner, file, &seen, &files);
  return files;
}

// The service that a symbol is or is in, if any: its module's files are the ones that count.
bool serves(const Instance& instance, const std::string& symbol) {
  for (const std::string& service : manifest_of(instance).serves()) {
    if (symbol == service || symbol.rfind(service + ".", 0) == 0) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> Reflection::services() const {
  std::set<std::string> names;
  for (auto view = host_.modules().view();
       const std::shared_ptr<Instance>& instance : view->modules) {
    names.insert(manifest_of(*instance).serves().begin(), manifest_of(*instance).serves().end());
  }
  return {names.begin(), names.end()};
}

std::optional<std::vector<std::string>> Reflection::file_by_name(const std::string& name) const {
  for (auto view = host_.modules().view();
       const std::shared_ptr<Instance>& instance : view->modules) {
    std::string prefix = instance->name() + "/";
    bool prefixed = name.rfind(prefix, 0) == 0;
    const google::protobuf::DescriptorPool& pool = instance->description().descriptors->pool();
    const FileDescriptor* file = pool.FindFileByName(name);
    if (file == nullptr && prefixed) file = pool.FindFileByName(name.substr(prefix.size()));
    if (file != nullptr && shown_name(host_, *instance, *file) == name) {
      return with_imports(host_, *instance, *file);
    }
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> Reflection::file_of_symbol(
    const std::string& symbol) const {
  for (bool served : {true, false}) {
    for (auto view = host_.modules().view();
         const std::shared_ptr<Instance>& instance : view->modules) {
      if (serves(*instance, symbol) != served) continue;
      const FileDescriptor* file =
          instance->description().descriptors->pool().FindFileContainingSymbol(symbol);
      if (file != nullptr) return with_imports(host_, *instance, *file);
    }
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> Reflection::file_of_extension(const std::string& type,
                                                                      int number) const {
  for (auto view = host_.modules().view();
       const std::shared_ptr<Instance>& instance : view->modules) {
    const google::protobuf::DescriptorPool& pool = instance->description().descriptors->pool();
    const google::protobuf::Descriptor* message = pool.FindMessageTypeByName(type);
    const auto* extension =
        message == nullptr ? nullptr : pool.FindExtensionByNumber(message, number);
    if (extension != nullptr) return with_imports(host_, *instance, *extension->file());
  }
  return std::nullopt;
}

std::optional<std::vector<int>> Reflection::extension_numbers(const std::string& type) const {
  std::optional<std::set<int>> numbers;
  for (auto view = host_.modules().view();
       const std::shared_ptr<Instance>& instance : view->modules) {
    const google::protobuf::DescriptorPool& pool = instance->description().descriptors->pool();
    const google::protobuf::Descriptor* message = pool.FindMessageTypeByName(type);
    if (message == nullptr) continue;
    if (!numbers) numbers.emplace();
    std::vector<const google::protobuf::FieldDescriptor*> extensions;
    pool.FindAllExtensions(message, &extensions);
    for (const auto* extension : extensions) numbers->insert(extension->number());
  }
  if (!numbers) return std::nullopt;
  return std::vector<int>(numbers->begin(), numbers->end());
}

}  // namespace imctl::host
