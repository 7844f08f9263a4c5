// A small catalog for tests of the command line: one module with verbs of every kind.
#ifndef IMCTL_TESTS_UNIT_CLI_FIXTURE_H
#define IMCTL_TESTS_UNIT_CLI_FIXTURE_H

#include <google/protobuf/compiler/parser.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/wrappers.pb.h>
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

inline constexpr char kNotesProto[] = R"(
syntax = "proto3";
package notes.v1;
import "imctl/options.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

enum Color { COLOR_RED = 0; COLOR_DARK_BLUE = 1; }

message Value { oneof kind { string text = 1; int32 number = 2; } }

message Note {
  // The note's id.
  string id = 1;
  int32 small = 2;
  uint64 size = 3 [(imctl.field) = { unit: UNIT_BYTES }];
  double ratio = 4;
  bool done = 5;
  bytes blob = 6 [(imctl.field) = { file: true }];
  Color color = 7;
  repeated string tags = 8;
  google.protobuf.Duration age = 9;
  google.protobuf.Timestamp time = 10;
  map<string, string> labels = 11;
  map<string, Value> attributes = 12;
  Value value = 13;
  google.protobuf.BoolValue maybe = 14;
  oneof body { string plain = 15; string rich = 16; }
  string password = 17 [(imctl.field) = { secret: true }];
  google.protobuf.Any extra = 18;
  google.protobuf.Struct data = 19;
  string config = 20;
  int64 big = 21;
  optional int32 perhaps = 22;
}

message PutReply { uint32 ackCount = 1; }
message GetRequest { repeated string ids = 1; }
message GetReply { repeated Note notes = 1; }
message Line { string text = 1 [(imctl.field) = { lines: true }]; string to = 2; }
message Nothing {}

service Notes {
  // Writes a note. More about
  // it here:
  // - one thing
  // - another
  rpc Put(Note) returns (PutReply) {
    option (imctl.verb) = { path: "note put" short_flags: "s=small" columns: "ackCount"
                            examples: { command: "imctl note put --id x" what: "a note" } };
  }
  // Reads notes.
  rpc Get(GetRequest) returns (GetReply) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (imctl.verb) = { path: "note get" positional: "ids" rows: "notes"
                            columns: ["id", "attributes.subject", "tags", "size"] };
  }
  rpc Chat(stream Line) returns (stream Line) { option (imctl.verb) = { path: "note chat" }; }
  rpc Upload(stream Note) returns (PutReply) { option (imctl.verb) = { path: "note upload" }; }
  rpc Hidden(Nothing) returns (Nothing);
}
)";

inline google::protobuf::FileDescriptorProto parse_proto(const std::string& name, const std::string& text) {
  google::protobuf::io::ArrayInputStream input(text.data(), static_cast<int>(text.size()));
  google::protobuf::io::Tokenizer tokenizer(&input, nullptr);
  google::protobuf::compiler::Parser parser;
  google::protobuf::FileDescriptorProto file;
  EXPECT_TRUE(parser.Parse(&tokenizer, &file));
  file.set_name(name);
  return file;
}

// As protoc would write it: with options as extensions, not as text.
inline google::protobuf::FileDescriptorProto interpreted(const google::protobuf::FileDescriptorProto& file) {
  google::protobuf::DescriptorPool pool(google::protobuf::DescriptorPool::generated_pool());
  const google::protobuf::FileDescriptor* built = pool.BuildFile(file);
  EXPECT_NE(built, nullptr);
  google::protobuf::FileDescriptorProto copy;
  built->CopyTo(&copy);
  *copy.mutable_source_code_info() = file.source_code_info();
  return copy;
}

// A module's manifest. The imports come after the file that needs them, on purpose.
inline std::string notes_manifest(const std::string& module = "notes",
                                  const std::string& service = "notes.v1.Notes") {
  Manifest manifest;
  manifest.set_name(module);
  manifest.add_serves(service);
  *manifest.add_file() = interpreted(parse_proto("notes.proto", kNotesProto));
  auto import = [&](const google::protobuf::FileDescriptor* file) { file->CopyTo(manifest.add_file()); };
  import(imctl::Verb::descriptor()->file());
  import(google::protobuf::Any::descriptor()->file());
  import(google::protobuf::Duration::descriptor()->file());
  import(google::protobuf::Struct::descriptor()->file());
  import(google::protobuf::Timestamp::descriptor()->file());
  import(google::protobuf::BoolValue::descriptor()->file());
  import(google::protobuf::FileDescriptorProto::descriptor()->file());
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
  const imctl::Verb& verb(const std::vector<std::string>& path) { return catalog_.find(path)->verb; }
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
