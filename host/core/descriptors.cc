#include "core/descriptors.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace imctl::host {
namespace {

class Errors : public google::protobuf::DescriptorPool::ErrorCollector {
 public:
  void AddError(const std::string& file, const std::string& element,
                const google::protobuf::Message*, ErrorLocation,
                const std::string& message) override {
    if (first.empty()) first = file + ": " + element + ": " + message;
  }
  void AddWarning(const std::string&, const std::string&, const google::protobuf::Message*,
                  ErrorLocation, const std::string&) override {}

  std::string first;
};

// Builds files after those that they import.
class Builder {
 public:
  Builder(const Manifest& manifest, google::protobuf::DescriptorPool* pool) : pool_(pool) {
    for (const google::protobuf::FileDescriptorProto& file : manifest.file()) {
      files_.emplace(file.name(), &file);  // the first counts
    }
  }

  bool build(const std::string& name) {
    auto file = files_.find(name);
    // What is not there, or imports itself, is told by who imports it.
    if (file == files_.end() || !begun_.insert(name).second) return true;
    for (const std::string& import : file->second->dependency()) {
      if (!build(import)) return false;
    }
    return pool_->BuildFileCollectingErrors(*file->second, &errors_) != nullptr;
  }
  const std::string& error() const { return errors_.first; }

 private:
  google::protobuf::DescriptorPool* const pool_;
  std::unordered_map<std::string, const google::protobuf::FileDescriptorProto*> files_;
  std::unordered_set<std::string> begun_;
  Errors errors_;
};

}  // namespace

Result<std::shared_ptr<Descriptors>> Descriptors::make(const Manifest& manifest) {
  std::shared_ptr<Descriptors> made(new Descriptors());
  Builder builder(manifest, made->pool_.get());
  for (const google::protobuf::FileDescriptorProto& file : manifest.file()) {
    if (made->pool_->FindFileByName(file.name()) == nullptr && !builder.build(file.name())) {
      return Status(
          IMCTL_INVALID_ARGUMENT,
          "the manifest's descriptors do not hold together: " +
              (builder.error().empty() ? file.name() + " cannot be built" : builder.error()));
    }
    if (std::find(made->files_.begin(), made->files_.end(), file.name()) == made->files_.end()) {
      made->files_.push_back(file.name());
    }
  }
  return made;
}

std::unique_ptr<google::protobuf::Message> Descriptors::make_message(
    const google::protobuf::Descriptor* type) const {
  return std::unique_ptr<google::protobuf::Message>(factory_.GetPrototype(type)->New());
}

}  // namespace imctl::host
