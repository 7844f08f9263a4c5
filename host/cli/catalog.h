// What commands there are: the verbs of the loaded modules, from their manifests.
#ifndef IMCTL_HOST_CLI_CATALOG_H
#define IMCTL_HOST_CLI_CATALOG_H

#include <google/protobuf/descriptor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/descriptors.h"
#include "imctl/manifest.pb.h"
#include "imctl/options.pb.h"
#include "imctl/status.h"

namespace imctl::host::cli {

struct VerbEntry {
  std::vector<std::string> path;  // "message", "put"
  imctl::Verb verb;
  std::string service;  // full name
  std::string method;   // name within it
  size_t module = 0;
  // Another module has the same path: neither is called.
  std::string clash;

  std::string words() const;  // "message put"
};

class Catalog {
 public:
  // `manifests`: serialized imctl.Manifest, one a module. The descriptors are not looked at further
  // than it takes to find the verbs, so this is cheap.
  static Result<Catalog> make(const std::vector<std::string>& manifests);

  // Sorted by path.
  const std::vector<VerbEntry>& verbs() const { return verbs_; }

  // The verb whose path is the longest that `words` starts with, or nullptr.
  const VerbEntry* find(const std::vector<std::string>& words) const;

  // "package.Service/Method" of all that is served, sorted.
  std::vector<std::string> method_names() const;

  // "package.Service/Method" as a verb `call ...` that shows the whole reply; nothing if it is not
  // served.
  std::optional<VerbEntry> find_method(const std::string& name) const;
  // Of the method, its own verb ("message put"); empty if it has none.
  std::string verb_of(const VerbEntry& entry) const;
  const std::string& module_name(const VerbEntry& entry) const;
  // A type of any module's, by its full name; nullptr if there is none.
  const google::protobuf::Descriptor* find_message(const std::string& name);
  const google::protobuf::EnumDescriptor* find_enum(const std::string& name);

  // The method behind a verb; builds the module's descriptors on first use. The result lives as
  // long as the catalog. A clash is FAILED_PRECONDITION and names both modules.
  Result<const google::protobuf::MethodDescriptor*> method(const VerbEntry& verb);
  // The same for help: a clash does not matter.
  Result<const google::protobuf::MethodDescriptor*> describe(const VerbEntry& verb);

 private:
  struct Module {
    imctl::Manifest manifest;
    std::shared_ptr<Descriptors> descriptors;
  };
  void add_verbs(size_t module);
  Result<const Descriptors*> descriptors(size_t module);

  std::vector<Module> modules_;
  std::vector<VerbEntry> verbs_;
};

// A comment as its .proto has it, without the lines' own ends: a line for each paragraph and each
// item of a list ("- ..."), empty lines between paragraphs.
std::string reflow(const std::string& comment);

// The comment at a method, field or service; empty if there is none.
template <class D>
std::string comment_of(const D* descriptor) {
  google::protobuf::SourceLocation location;
  if (!descriptor->GetSourceLocation(&location)) return {};
  return reflow(location.leading_comments.empty() ? location.trailing_comments
                                                  : location.leading_comments);
}

// The first sentence of a comment, on one line.
std::string summary(const std::string& comment);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_CATALOG_H
