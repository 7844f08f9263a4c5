// A small catalog for tests of the command line: one module with verbs of every kind.
#ifndef IMCTL_TESTS_UNIT_CLI_FIXTURE_H
#define IMCTL_TESTS_UNIT_CLI_FIXTURE_H

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "cli/catalog.h"
#include "imctl/manifest.pb.h"
#include "imctl/options.pb.h"

namespace imctl::host::cli {

// The manifest of a module that serves cli_notes.proto. The imports come after the file that needs
// them, on purpose.
inline std::string notes_manifest(const std::string& module = "notes") {
  std::ifstream in(IMCTL_CLI_NOTES, std::ios::binary);
  google::protobuf::FileDescriptorSet files;
  EXPECT_TRUE(files.ParseFromIstream(&in)) << IMCTL_CLI_NOTES;
  Manifest manifest;
  manifest.set_name(module);
  manifest.add_serves("notes.v1.Notes");
  for (int i = files.file_size(); i-- > 0;) *manifest.add_file() = files.file(i);
  return manifest.SerializeAsString();
}

class NotesTest : public testing::Test {
 protected:
  NotesTest() : catalog_(*Catalog::make({notes_manifest()})) {
    (void)std::setlocale(LC_CTYPE, "C.UTF-8");  // NOLINT(concurrency-mt-unsafe)
  }

  const google::protobuf::MethodDescriptor* method(const std::vector<std::string>& path) {
    return *catalog_.method(*catalog_.find(path));
  }
  const imctl::Verb& verb(const std::vector<std::string>& path) {
    return catalog_.find(path)->verb;
  }
  const google::protobuf::Descriptor* type(const std::string& name) {
    return method({"note", "put"})->file()->FindMessageTypeByName(name);
  }
  std::unique_ptr<google::protobuf::Message> make(const std::string& name) {
    return std::unique_ptr<google::protobuf::Message>(factory_.GetPrototype(type(name))->New());
  }
  const google::protobuf::FieldDescriptor* field(const std::string& name) {
    return type("Note")->FindFieldByName(name);
  }

  Catalog catalog_;
  google::protobuf::DynamicMessageFactory factory_;
};

// A folder that is gone with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string made = (std::filesystem::temp_directory_path() / "imctl-cli-XXXXXX").string();
    path_ = ::mkdtemp(made.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string path() const { return path_; }
  std::string write(const std::string& name, const std::string& content) const {
    std::string file = path_ + "/" + name;
    std::ofstream(file, std::ios::binary) << content;
    return file;
  }

 private:
  std::string path_;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_TESTS_UNIT_CLI_FIXTURE_H
