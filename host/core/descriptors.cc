#include "core/descriptors.h"

#include <unordered_set>

namespace imctl::host {

class Descriptors::Errors : public google::protobuf::DescriptorPool::ErrorCollector {
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

Result<std::shared_ptr<Descriptors>> Descriptors::make(const Manifest& manifest) {
  std::shared_ptr<Descriptors> made(new Descriptors());
  std::unordered_set<std::string> seen;
  for (const google::protobuf::FileDescriptorProto& file : manifest.file()) {
    if (!seen.insert(file.name()).second) continue;  // the first counts
    if (!made->database_.Add(file)) {
      return Status(IMCTL_INVALID_ARGUMENT, "the manifest's descriptors of " + file.name() +
                                                " clash with another file of it");
    }
    made->files_.push_back(file.name());
  }
  auto errors = std::make_unique<Errors>();
  Errors* told = errors.get();
  made->errors_ = std::move(errors);
  made->pool_ = std::make_unique<google::protobuf::DescriptorPool>(&made->database_, told);
  for (const std::string& name : made->files_) {
    if (made->pool_->FindFileByName(name) == nullptr) {
      return Status(IMCTL_INVALID_ARGUMENT,
                    "the manifest's descriptors do not hold together: " +
                        (told->first.empty() ? name + " cannot be built" : told->first));
    }
  }
  return made;
}

std::unique_ptr<google::protobuf::Message> Descriptors::make_message(
    const google::protobuf::Descriptor* type) const {
  return std::unique_ptr<google::protobuf::Message>(factory_.GetPrototype(type)->New());
}

}  // namespace imctl::host
