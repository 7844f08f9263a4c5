// A module's view of its own messages: a descriptor pool made from its manifest, apart from every
// other module's and from the program's own, so two modules may have a .proto of the same path.
#ifndef IMCTL_HOST_CORE_DESCRIPTORS_H
#define IMCTL_HOST_CORE_DESCRIPTORS_H

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>

#include <memory>
#include <string>
#include <vector>

#include "imctl/manifest.pb.h"
#include "imctl/status.h"

namespace imctl::host {

class Descriptors {
 public:
  // Errors name the file and what is wrong with it. Nothing of the manifest is needed afterwards.
  static Result<std::shared_ptr<Descriptors>> make(const Manifest& manifest);

  const google::protobuf::DescriptorPool& pool() const { return *pool_; }
  // Names of the files, the module's own first.
  const std::vector<std::string>& files() const { return files_; }

  // nullptr if there is none.
  const google::protobuf::ServiceDescriptor* service(const std::string& name) const {
    return pool_->FindServiceByName(name);
  }
  const google::protobuf::Descriptor* message(const std::string& name) const {
    return pool_->FindMessageTypeByName(name);
  }
  std::unique_ptr<google::protobuf::Message> make_message(
      const google::protobuf::Descriptor* type) const;

 private:
  Descriptors() = default;

  const std::unique_ptr<google::protobuf::DescriptorPool> pool_ =
      std::make_unique<google::protobuf::DescriptorPool>();
  std::vector<std::string> files_;
  // Locks inside: any thread may make messages.
  mutable google::protobuf::DynamicMessageFactory factory_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_DESCRIPTORS_H
