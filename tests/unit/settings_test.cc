#include "core/settings.h"

#include <unistd.h>

#include <cctype>
#include <cstdint>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "core/settings_file.h"
#include "core/value_format.h"
#include "imctl/options.pb.h"

namespace imctl::host {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorProto;
using google::protobuf::Message;
using google::protobuf::TextFormat;

// ---- values
// ---------------------------------------------------------------------------------------

TEST(ValueFormat, Durations) {
  constexpr int64_t second = 1'000'000'000;
  EXPECT_EQ(parse_duration("90s"), 90 * second);
  EXPECT_EQ(parse_duration("1.5h"), 5400 * second);
  EXPECT_EQ(parse_duration("1h30m"), 5400 * second);
  EXPECT_EQ(parse_duration("168h"), parse_duration("7d"));
  EXPECT_EQ(parse_duration("250ms"), second / 4);
  EXPECT_EQ(parse_duration("0.1s"), second / 10);
  EXPECT_EQ(parse_duration("-2s"), -2 * second);
  EXPECT_EQ(parse_duration("0"), 0);
  EXPECT_EQ(parse_duration("106751d"), 106751LL * 86400 * second);
  for (const char* text : {"", "-", "90", "1.5", "1.s", ".5s", "1x", "s", "1 s", "1h 30m",
                           "106752d", "99999999999999999999s", "300000d", "1e3s", "+1s"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
  EXPECT_EQ(format_duration(0), "0s");
  EXPECT_EQ(format_duration(7LL * 86400 * second), "7d");
  EXPECT_EQ(format_duration(90 * second), "1m30s");
  EXPECT_EQ(format_duration(-second / 4), "-250ms");
  EXPECT_EQ(parse_duration(format_duration(123'456'789'012'345)), 123'456'789'012'345);
  EXPECT_FALSE(format_duration(std::numeric_limits<int64_t>::min()).empty());
}

TEST(ValueFormat, Bytes) {
  EXPECT_EQ(parse_bytes("4096"), 4096U);
  EXPECT_EQ(parse_bytes("64KiB"), 65536U);
  EXPECT_EQ(parse_bytes("1GB"), 1'000'000'000U);
  EXPECT_EQ(parse_bytes("1.5kb"), 1500U);
  EXPECT_EQ(parse_bytes("18446744073709551615"), UINT64_MAX);
  for (const char* text : {"", "1K", "1M", "1.5", "-1", "KiB", "1KiB1", "16777216TiB", "1 KiB"}) {
    EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
  }
  EXPECT_EQ(format_bytes(0), "0");
  EXPECT_EQ(format_bytes(4097), "4097");
  EXPECT_EQ(format_bytes(65536), "64KiB");
  EXPECT_EQ(format_bytes(1'000'000), "1MB");
}

TEST(ValueFormat, Words) {
  EXPECT_EQ(parse_bool("Yes"), true);
  EXPECT_EQ(parse_bool("off"), false);
  EXPECT_EQ(parse_bool("maybe"), std::nullopt);
  EXPECT_EQ(parse_int("-12"), -12);
  EXPECT_EQ(parse_int("12x"), std::nullopt);
  EXPECT_EQ(parse_uint("-1"), std::nullopt);
  EXPECT_EQ(parse_double("0.5"), 0.5);
  EXPECT_EQ(parse_double("inf"), std::nullopt);
}

// ---- the file
// -------------------------------------------------------------------------------------

std::string value_of(const std::string& line) {
  auto file = parse_settings("[s]\n" + line + "\n", "f");
  if (!file.ok()) return "error: " + file.status().message();
  return file->entries.size() == 1 ? file->entries[0].text : "no value";
}

TEST(SettingsFile, KeepsWhatIsPartOfAValue) {
  EXPECT_EQ(value_of("k = a"), "a");
  EXPECT_EQ(value_of("k=x:y#part"), "x:y#part");
  EXPECT_EQ(value_of("k = x:y#part # comment"), "x:y#part");
  EXPECT_EQ(value_of("k = a;b ; c"), "a;b ; c");
  EXPECT_EQ(value_of("k = a=b"), "a=b");
  EXPECT_EQ(value_of("k = # nothing"), "");
  EXPECT_EQ(value_of("k ="), "");
  EXPECT_EQ(value_of(R"(k = " a # b "  # comment)"), " a # b ");
  EXPECT_EQ(value_of(R"(k = "\"\\" )"), "\"\\");
  EXPECT_EQ(value_of(R"(k = a "b" c)"), R"(a "b" c)");
  EXPECT_EQ(value_of("k = \xc3\xa9\r"), "\xc3\xa9");
  EXPECT_EQ(value_of("; k = a"), "no value");
  EXPECT_EQ(value_of("  # k = a"), "no value");
}

TEST(SettingsFile, KnowsSectionsAndLines) {
  auto file = parse_settings("\xef\xbb\xbf# top\n[a] # x\n\nk = 1\n[b-c]\nk = 2\n[a]\nl = 3", "f");
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_EQ(file->entries.size(), 3U);
  EXPECT_EQ(file->entries[0].section, "a");
  EXPECT_EQ(file->entries[0].line, 4);
  EXPECT_EQ(file->entries[1].section, "b-c");
  EXPECT_EQ(file->entries[2].section, "a");
  EXPECT_EQ(file->entries[2].key, "l");
  EXPECT_EQ(file->entries[2].line, 8);
  EXPECT_EQ(file->sections.at("b-c"), 5);
}

TEST(SettingsFile, KeysMayHaveDots) {
  auto file = parse_settings("[bind]\nawakari.messages.Service = a.b\nplain = 1\n", "f");
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_EQ(file->entries.size(), 2U);
  EXPECT_EQ(file->entries[0].section, "bind");
  EXPECT_EQ(file->entries[0].key, "awakari.messages.Service");
  EXPECT_EQ(file->entries[0].text, "a.b");
  EXPECT_EQ(file->entries[1].key, "plain");
  for (const char* line : {".a = 1", "a. = 1", "a..b = 1", ". = 1", "a b.c = 1"}) {
    EXPECT_EQ(value_of(line),
              "error: f:2: is neither `key = value` nor [section] nor a comment (#)");
  }
  EXPECT_FALSE(parse_settings("[a.b]\n", "f").ok());
}

TEST(SettingsFile, ErrorsNameTheLineAndShowNothing) {
  for (const char* line :
       {"hunter2", "pass word = hunter2", "k = \"hunter2", "k = \"hunter2\" x", "k = \"\\hunter2\"",
        "[hunter2", "[hunter2 x]", "k = hunter2\x01", "= hunter2"}) {
    auto file = parse_settings("[s]\n\n" + std::string(line) + "\n", "imctl.conf");
    ASSERT_FALSE(file.ok()) << line;
    EXPECT_EQ(file.status().message().rfind("imctl.conf:3: ", 0), 0U) << file.status().message();
    EXPECT_EQ(file.status().message().find("hunter2"), std::string::npos);
  }
  auto file = parse_settings("k = v\n", "imctl.conf");
  EXPECT_EQ(file.status().message(),
            "imctl.conf:1: `k` stands before any [section]; put it below the section that it "
            "belongs to");
  EXPECT_EQ(read_settings_file("/nonexistent/x").status().code(), IMCTL_NOT_FOUND);
  EXPECT_EQ(read_settings_file("/").status().code(), IMCTL_NOT_FOUND);
}

// ---- settings
// -------------------------------------------------------------------------------------

// A field of a message of package `test`: its type as in a .proto, its (imctl.setting) as text.
struct FieldRow {
  std::string message;
  std::string type;
  std::string name;
  std::string setting;
};

const std::vector<FieldRow> kFields = {
    {"Config", "string", "uri",
     "default: 'sqlite:messages.db' env: 'DB_URI' schemes: ['sqlite', 'file']"},
    {"Config", "string", "password", "env: 'DB_PASSWORD' secret: true max: '8'"},
    {"Config", "string", "table",
     "default: 'messages' env: ['DB_TABLE_NAME', 'TABLE'] pattern: '[a-z_]+' min: '2' max: '10'"},
    {"Config", "bool", "sync", "default: 'yes'"},
    {"Config", "int32", "level", "min: '-8' max: '8'"},
    {"Config", "uint64", "size", "default: '1MiB' unit: UNIT_BYTES min: '1KiB' max: '1GiB'"},
    {"Config", "double", "ratio", ""},
    {"Config", ".test.SyncMode", "mode", "default: 'normal'"},
    {"Config", ".google.protobuf.Duration", "keep", "default: '168h' min: '1s' max: '7d'"},
    {"Config", "repeated string", "paths", "max: '3'"},
    {"Config", "repeated uint32", "ports", ""},
    {"Config", "int64", "big", ""},
    {"Config", "uint64", "ubig", ""},
    {"Config", "optional int64", "limit", ""},
    {"HostConfig", "uint32", "pool_threads", "default: '4' max: '256'"},
    {"PostgresConfig", "string", "uri", "env: 'DB_URI' schemes: ['postgresql', 'postgres']"},
    {"PostgresConfig", "string", "name", "required: true env: 'DB_NAME'"},
    {"SecretUri", "string", "uri", "env: 'SECRET_URI' schemes: 'x' secret: true"},
    {"Clash", "uint32", "pool_threads", ""},
    {"Nested", ".test.Clash", "clash", ""},
    {"Bytes", "bytes", "bytes", ""},
    {"BadPattern", "string", "s", "pattern: '('"},
    {"BadDefault", "uint32", "n", "default: 'many'"},
    {"BadBound", "uint32", "n", "max: 'many'"},
};

void add_field(FileDescriptorProto& file, const FieldRow& row) {
  auto* messages = file.mutable_message_type();
  if (messages->empty() || messages->rbegin()->name() != row.message) {
    messages->Add()->set_name(row.message);
  }
  auto& message = *messages->rbegin();
  auto* field = message.add_field();
  field->set_name(row.name);
  field->set_number(message.field_size());
  field->set_label(FieldDescriptorProto::LABEL_OPTIONAL);
  std::string type = row.type;
  if (type.rfind("repeated ", 0) == 0) {
    field->set_label(FieldDescriptorProto::LABEL_REPEATED);
    type.erase(0, 9);
  } else if (type.rfind("optional ", 0) == 0) {
    field->set_proto3_optional(true);
    message.add_oneof_decl()->set_name("_" + row.name);
    field->set_oneof_index(message.oneof_decl_size() - 1);
    type.erase(0, 9);
  }
  if (type[0] == '.') {
    field->set_type_name(type);
  } else {
    for (char& c : type) c = static_cast<char>(std::toupper(c));
    auto number = FieldDescriptorProto::TYPE_STRING;
    ASSERT_TRUE(FieldDescriptorProto::Type_Parse("TYPE_" + type, &number)) << type;
    field->set_type(number);
  }
  ASSERT_TRUE(TextFormat::ParseFromString(
      row.setting, field->mutable_options()->MutableExtension(imctl::setting)))
      << row.setting;
}

FileDescriptorProto schema_file() {
  FileDescriptorProto file;
  EXPECT_TRUE(TextFormat::ParseFromString(R"(
    name: "test.proto" package: "test" syntax: "proto3"
    dependency: "google/protobuf/duration.proto" dependency: "imctl/options.proto"
    enum_type {
      name: "SyncMode"
      value { name: "SYNC_MODE_FULL" number: 0 }
      value { name: "SYNC_MODE_NORMAL" number: 1 }
    })",
                                          &file));
  for (const FieldRow& row : kFields) add_field(file, row);
  return file;
}

// As the host has it: a pool built from serialized descriptors.
class Schemas {
 public:
  Schemas() {
    for (const auto* file :
         {FileDescriptorProto::descriptor()->file(),
          google::protobuf::Duration::descriptor()->file(), imctl::Setting::descriptor()->file()}) {
      FileDescriptorProto proto;
      file->CopyTo(&proto);
      build(proto);
    }
    FileDescriptorProto proto;
    EXPECT_TRUE(proto.ParseFromString(schema_file().SerializeAsString()));
    build(proto);
  }

  const Descriptor* operator[](const std::string& name) const {
    const Descriptor* found = pool_.FindMessageTypeByName("test." + name);
    EXPECT_NE(found, nullptr) << name;
    return found;
  }

 private:
  void build(const FileDescriptorProto& proto) {
    EXPECT_NE(pool_.BuildFile(proto), nullptr) << proto.name();
  }

  DescriptorPool pool_;
};

// The value of a field, as text.
std::string get(const Message& message, const std::string& name) {
  const auto* field = message.GetDescriptor()->FindFieldByName(name);
  std::string text;
  if (!field->is_repeated()) {
    TextFormat::PrintFieldValueToString(message, field, -1, &text);
    return text;
  }
  for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
    std::string item;
    TextFormat::PrintFieldValueToString(message, field, i, &item);
    text += item + " ";
  }
  return text;
}

class SettingsTest : public ::testing::Test {
 protected:
  void TearDown() override {
    if (!file_.empty()) unlink(file_.c_str());
  }

  void file(const std::string& content) {
    file_ = ::testing::TempDir() + "settings_test." + std::to_string(getpid()) + ".conf";
    std::ofstream(file_) << content;
  }

  SettingsSources sources() {
    auto loaded = SettingsSources::load(file_, flags_, environment_);
    EXPECT_TRUE(loaded.ok()) << loaded.status().message();
    return std::move(*loaded);
  }

  Section fill(const std::string& schema = "Config") {
    SettingsSources all = sources();
    auto section = all.section("store-x", {schemas_[schema], schemas_["HostConfig"]});
    EXPECT_TRUE(section.ok()) << section.status().message();
    Status status = all.check();
    EXPECT_TRUE(status.ok()) << status.message();
    return std::move(*section);
  }

  // The error of a section, with the file's name taken out.
  std::string error(const std::string& schema = "Config") {
    SettingsSources all = sources();
    auto section = all.section("store-x", {schemas_[schema], schemas_["HostConfig"]});
    Status status = section.ok() ? all.check() : section.status();
    std::string message = status.message();
    for (size_t at; !file_.empty() && (at = message.find(file_)) != std::string::npos;) {
      message.replace(at, file_.size(), "F");
    }
    return message;
  }

  std::string error_of_flag(const std::string& flag) {
    flags_ = {"store-x." + flag};
    return error();
  }

  static SettingValue value(const Section& section, const std::string& key) {
    for (const SettingValue& value : section.values) {
      if (value.key == key) return value;
    }
    ADD_FAILURE() << "no value " << key;
    return {};
  }

  Schemas schemas_;
  std::string file_;
  std::vector<std::string> flags_;
  std::map<std::string, std::string> environment_;
};

TEST_F(SettingsTest, Defaults) {
  Section section = fill();
  ASSERT_EQ(section.messages.size(), 2U);
  const Message& config = *section.messages[0];
  EXPECT_EQ(get(config, "uri"), "\"sqlite:messages.db\"");
  EXPECT_EQ(get(config, "sync"), "true");
  EXPECT_EQ(get(config, "size"), "1048576");
  EXPECT_EQ(get(config, "mode"), "SYNC_MODE_NORMAL");
  EXPECT_NE(get(config, "keep").find("604800"), std::string::npos);
  EXPECT_EQ(get(config, "paths"), "");
  EXPECT_FALSE(
      config.GetReflection()->HasField(config, config.GetDescriptor()->FindFieldByName("limit")));
  EXPECT_EQ(get(*section.messages[1], "pool_threads"), "4");
  EXPECT_EQ(value(section, "store-x.keep").text, "168h");
  EXPECT_EQ(value(section, "store-x.keep").source, "default");
  EXPECT_EQ(value(section, "store-x.level").text, "0");
  EXPECT_EQ(section.values.size(), 15U);
}

TEST_F(SettingsTest, NullSchemaGivesNullMessage) {
  SettingsSources all = sources();
  auto section = all.section("store-x", {nullptr, schemas_["HostConfig"]});
  ASSERT_TRUE(section.ok());
  EXPECT_EQ(section->messages[0], nullptr);
  EXPECT_NE(section->messages[1], nullptr);
}

TEST_F(SettingsTest, ASectionOutlivesTheSourcesAndCanBeReplaced) {
  Section section = fill();
  section = fill("SecretUri");
  EXPECT_EQ(section.messages.size(), 2U);
  EXPECT_EQ(get(*section.messages[1], "pool_threads"), "4");
}

TEST_F(SettingsTest, EveryType) {
  file(R"([store-x]
uri = file:/a#b
sync = off
level = -8
size = 64KiB
ratio = 0.25
mode = SYNC_MODE_FULL
keep = 1m30.5s
paths = /a , /b
paths = /c
ports = 1,2
limit = 7
big = -9223372036854775808
ubig = 18446744073709551615
)");
  Section section = fill();
  const Message& config = *section.messages[0];
  EXPECT_EQ(get(config, "uri"), "\"file:/a#b\"");
  EXPECT_EQ(get(config, "sync"), "false");
  EXPECT_EQ(get(config, "level"), "-8");
  EXPECT_EQ(get(config, "size"), "65536");
  EXPECT_EQ(get(config, "ratio"), "0.25");
  EXPECT_EQ(get(config, "mode"), "SYNC_MODE_FULL");
  EXPECT_NE(get(config, "keep").find("90"), std::string::npos);
  EXPECT_NE(get(config, "keep").find("500000000"), std::string::npos);
  EXPECT_EQ(get(config, "paths"), "\"/a\" \"/b\" \"/c\" ");
  EXPECT_EQ(get(config, "ports"), "1 2 ");
  EXPECT_EQ(get(config, "limit"), "7");
  EXPECT_EQ(get(config, "big"), "-9223372036854775808");
  EXPECT_EQ(get(config, "ubig"), "18446744073709551615");
  EXPECT_EQ(value(section, "store-x.sync").source, file_ + ":3");
  EXPECT_EQ(value(section, "store-x.paths").text, "/a , /b, /c");
}

TEST_F(SettingsTest, FlagOverVariableOverAliasOverFileOverDefault) {
  file("[store-x]\ntable = from_file\n");
  EXPECT_EQ(value(fill(), "store-x.table").text, "from_file");
  environment_["TABLE"] = "second";
  EXPECT_EQ(value(fill(), "store-x.table").source, "env TABLE");
  environment_["DB_TABLE_NAME"] = "first";
  EXPECT_EQ(value(fill(), "store-x.table").source, "env DB_TABLE_NAME");
  environment_["IMCTL_STORE_X__TABLE"] = "own";
  EXPECT_EQ(value(fill(), "store-x.table").source, "env IMCTL_STORE_X__TABLE");
  flags_ = {"store-x.table=lost", "store-x.table=flag"};
  Section section = fill();
  EXPECT_EQ(value(section, "store-x.table").source, "--set");
  EXPECT_EQ(get(*section.messages[0], "table"), "\"flag\"");
}

TEST_F(SettingsTest, EmptyAliasIsUnset) {
  environment_ = {{"DB_TABLE_NAME", ""}, {"DB_PASSWORD", ""}, {"DB_URI", ""}, {"TABLE", "t_t"}};
  Section section = fill();
  EXPECT_EQ(value(section, "store-x.table").source, "env TABLE");
  EXPECT_EQ(value(section, "store-x.uri").source, "default");
}

TEST_F(SettingsTest, OtherVariablesOfOursAreNoSettings) {
  environment_ = {{"IMCTL_SERVER", "x"}, {"IMCTL_CONFIG", "y"}, {"IMCTL_OTHER__KEY", "z"}};
  fill();
}

TEST_F(SettingsTest, BadValues) {
  EXPECT_EQ(error_of_flag("level=9"), "--set: store-x.level is `9`: must be at most 8");
  EXPECT_EQ(error_of_flag("level=-9"), "--set: store-x.level is `-9`: must be at least -8");
  EXPECT_EQ(error_of_flag("level=3000000000"),
            "--set: store-x.level is `3000000000`: must be from -2147483648 to 2147483647");
  EXPECT_EQ(error_of_flag("level=x"), "--set: store-x.level is `x`: must be a whole number");
  EXPECT_EQ(error_of_flag("level="), "--set: store-x.level is ``: must be a whole number");
  EXPECT_EQ(error_of_flag("ubig=-1"),
            "--set: store-x.ubig is `-1`: must be from 0 to 18446744073709551615");
  EXPECT_EQ(error_of_flag("size=10"), "--set: store-x.size is `10`: must be at least 1KiB");
  EXPECT_EQ(error_of_flag("size=1M"),
            "--set: store-x.size is `1M`: must be a size, like 4096, 64KiB or 1GB");
  EXPECT_EQ(error_of_flag("ratio=half"),
            "--set: store-x.ratio is `half`: must be a number, like 0.5");
  EXPECT_EQ(error_of_flag("sync=maybe"),
            "--set: store-x.sync is `maybe`: must be true or false (yes, no, on, off)");
  EXPECT_EQ(error_of_flag("mode=some"),
            "--set: store-x.mode is `some`: must be one of full, normal");
  EXPECT_EQ(error_of_flag("keep=8d"), "--set: store-x.keep is `8d`: must be at most 7d");
  EXPECT_EQ(error_of_flag("keep=90"),
            "--set: store-x.keep is `90`: must be a duration, like 90s, 1.5h, 1h30m or 7d");
  EXPECT_EQ(error_of_flag("table=A1"), "--set: store-x.table is `A1`: must match [a-z_]+");
  EXPECT_EQ(error_of_flag("table=a"), "--set: store-x.table is too short: at least 2 bytes");
  EXPECT_EQ(error_of_flag("table=abcdefghijk"),
            "--set: store-x.table is too long: at most 10 bytes");
  EXPECT_EQ(error_of_flag("paths=a,b,c,d"), "--set: store-x.paths is too long: at most 3 items");
  EXPECT_EQ(error_of_flag("paths=a,,b"),
            "--set: store-x.paths is `a,,b`: has an empty item; remove the extra comma");
  EXPECT_EQ(error_of_flag("ports=1,x"), "--set: store-x.ports is `x`: must be a whole number");
}

TEST_F(SettingsTest, EveryProblemIsTold) {
  file("[store-x]\nlevel = x\nsync = x\n");
  EXPECT_EQ(error(),
            "F:3: store-x.sync is `x`: must be true or false (yes, no, on, off)\n"
            "F:2: store-x.level is `x`: must be a whole number");
}

TEST_F(SettingsTest, KeyTwice) {
  file("[store-x]\nlevel = 1\nsync = yes\nlevel = 1\n");
  EXPECT_EQ(error(), "F:4: store-x.level is on line 2 already; keep one");
}

TEST_F(SettingsTest, SecretsAreNeverShown) {
  environment_["DB_PASSWORD"] = "hunter22";
  Section section = fill();
  EXPECT_EQ(get(*section.messages[0], "password"), "\"hunter22\"");
  EXPECT_EQ(value(section, "store-x.password").text, "***");
  EXPECT_TRUE(value(section, "store-x.password").secret);
  environment_["DB_PASSWORD"] = "hunter2 and more";
  EXPECT_EQ(error(), "env DB_PASSWORD: store-x.password is too long: at most 8 bytes");
  environment_.clear();
  environment_["DB_URI"] = "sqlite://me:hunter2@host/x:y@z";
  EXPECT_EQ(value(fill(), "store-x.uri").text, "sqlite://me:***@host/x:y@z");
  environment_.clear();
  environment_["SECRET_URI"] = "hunter2:x";
  EXPECT_EQ(error("SecretUri"),
            "env SECRET_URI: has a scheme that no loaded module serves; served are: x (section "
            "store-x); load a module that serves it (host.modules), or change SECRET_URI");
}

TEST_F(SettingsTest, Required) {
  EXPECT_EQ(error("PostgresConfig"),
            "store-x.name is required; set it in section [store-x] of a config file (--config), as "
            "IMCTL_STORE_X__NAME or DB_NAME in the environment, or with --set store-x.name=VALUE");
  flags_ = {"store-x.name= "};
  EXPECT_EQ(error("PostgresConfig"), "--set: store-x.name is required and must not be empty");
}

TEST_F(SettingsTest, ASharedVariableGoesToWhoServesItsScheme) {
  environment_ = {{"DB_URI", "postgres://a/b"}, {"DB_NAME", "n"}};
  SettingsSources all = sources();
  auto sqlite = all.section("storage-sqlite", {schemas_["Config"]});
  auto postgres = all.section("storage-postgresql", {schemas_["PostgresConfig"]});
  ASSERT_TRUE(sqlite.ok() && postgres.ok());
  EXPECT_EQ(get(*sqlite->messages[0], "uri"), "\"sqlite:messages.db\"");
  EXPECT_EQ(get(*postgres->messages[0], "uri"), "\"postgres://a/b\"");
  EXPECT_TRUE(all.check().ok());
}

TEST_F(SettingsTest, ASharedVariableThatNobodyServesIsAnError) {
  environment_ = {{"DB_URI", "mongodb://me:hunter2@a/b"}, {"DB_NAME", "n"}};
  SettingsSources all = sources();
  ASSERT_TRUE(all.section("storage-sqlite", {schemas_["Config"]}).ok());
  ASSERT_TRUE(all.section("storage-postgresql", {schemas_["PostgresConfig"]}).ok());
  EXPECT_EQ(all.check().message(),
            "env DB_URI: has the scheme `mongodb`, which no loaded module serves; served are: "
            "postgresql, postgres (section storage-postgresql); sqlite, file (section "
            "storage-sqlite); load a module that serves it (host.modules), or change DB_URI");
  environment_["DB_URI"] = "hunter2";
  EXPECT_EQ(error().rfind("env DB_URI: has no scheme; served are: sqlite, file", 0), 0U);
  // Unless something above it says what holds.
  flags_ = {"store-x.uri=sqlite:x"};
  fill();
}

TEST_F(SettingsTest, ADirectValueMustHaveAServedScheme) {
  EXPECT_EQ(error_of_flag("uri=mongodb://me:hunter2@a"),
            "--set: store-x.uri has the scheme `mongodb`, which is not served here; it must begin "
            "with sqlite: or file:");
  EXPECT_EQ(error_of_flag("uri=hunter2"),
            "--set: store-x.uri has no scheme that is served here; it must begin with sqlite: or "
            "file:");
}

TEST_F(SettingsTest, OriginsForErrorsOfTheReader) {
  environment_["DB_TABLE_NAME"] = "t_t";
  Section section = fill();
  EXPECT_EQ(section.origin("table"), "env DB_TABLE_NAME: store-x.table");
  EXPECT_EQ(section.origin("level"), "default: store-x.level");
}

TEST_F(SettingsTest, WhatIsLeftOverIsAnError) {
  file("[store-x]\ntabel = x\n\n[store-y]\nk = v\n[zzzzzzzzzz]\n");
  flags_ = {"store-x.quite_unlike=1", "nothing-known.x=1"};
  environment_ = {{"IMCTL_STORE_X__LEVLE", "1"}};
  EXPECT_EQ(error(),
            "F:4: no loaded module is named `store-y`; did you mean `store-x`?\n"
            "F:6: no loaded module is named `zzzzzzzzzz`; load it (host.modules) or remove its "
            "settings\n"
            "F:2: section [store-x] has no setting `tabel`; did you mean `table`?\n"
            "--set nothing-known.x: no loaded module is named `nothing-known`; load it "
            "(host.modules) or remove its settings\n"
            "--set: section [store-x] has no setting `quite_unlike`; its settings are: big, keep, "
            "level, limit, mode, password, paths, pool_threads, ports, ratio, size, sync, table, "
            "ubig, uri\n"
            "env IMCTL_STORE_X__LEVLE: section [store-x] has no such setting; did you mean "
            "`IMCTL_STORE_X__LEVEL`?");
}

TEST_F(SettingsTest, FlagsHaveAForm) {
  for (const char* flag : {"hunter2", "hunter2=x", ".hunter2=x", "a.=hunter2", "=hunter2"}) {
    auto loaded = SettingsSources::load("", {flag}, {});
    ASSERT_FALSE(loaded.ok()) << flag;
    EXPECT_EQ(loaded.status().message().find("hunter2"), std::string::npos);
  }
}

TEST_F(SettingsTest, AModuleThatDeclaresNonsenseIsRefused) {
  EXPECT_EQ(error("Clash"),
            "section [store-x]: test.Clash and test.HostConfig both have a setting `pool_threads`; "
            "the module must name its own differently");
  for (const char* schema : {"Nested", "Bytes"}) {
    EXPECT_NE(error(schema).find("cannot be a setting"), std::string::npos) << schema;
  }
  EXPECT_NE(error("BadDefault").find("store-x.n by default is `many`"), std::string::npos);
  flags_ = {"store-x.n=1"};
  EXPECT_NE(error("BadBound").find("bad bound many"), std::string::npos);
  flags_ = {"store-x.s=x"};
  EXPECT_NE(error("BadPattern").find("bad pattern ("), std::string::npos);
}

// "key = text (source)" for each, with the file's name taken out.
std::vector<std::string> shown(const Result<std::vector<FreeSetting>>& settings,
                               const std::string& file) {
  if (!settings.ok()) return {settings.status().message()};
  std::vector<std::string> all;
  for (const FreeSetting& setting : *settings) {
    std::string source = setting.source;
    if (!file.empty() && source.compare(0, file.size(), file) == 0) {
      source.replace(0, file.size(), "F");
    }
    all.push_back(setting.key + " = " + setting.text + " (" + source + ")");
  }
  return all;
}

using Shown = std::vector<std::string>;

TEST_F(SettingsTest, DottedKeysAreFreeBesideSettings) {
  file("[bind]\nb.S = grpc://h:1#x\npool_threads = 8\na.S = one\n[bind]\nc.S =\n");
  flags_ = {"bind.a.S=lost", "bind.a.S=two", "bind.d.e.S=x=y"};
  SettingsSources all = sources();
  auto free = all.free_settings("bind", FreeKeys::kDotted);
  EXPECT_EQ(shown(free, file_), (Shown{"a.S = two (--set)", "b.S = grpc://h:1#x (F:2)",
                                       "c.S =  (F:6)", "d.e.S = x=y (--set)"}));
  EXPECT_EQ((*free)[1].origin("bind"), file_ + ":2: bind.b.S");
  auto section = all.section("bind", {schemas_["HostConfig"]});
  ASSERT_TRUE(section.ok()) << section.status().message();
  EXPECT_EQ(get(*section->messages[0], "pool_threads"), "8");
  EXPECT_EQ(section->origin("pool_threads"), file_ + ":3: bind.pool_threads");
  EXPECT_TRUE(all.check().ok()) << all.check().message();
}

TEST_F(SettingsTest, AllKeysOfASectionCanBeFree) {
  file("[nodes]\nnode-1 = a\neu.node_2 = b\n[none]\n");
  SettingsSources all = sources();
  EXPECT_EQ(shown(all.free_settings("nodes", FreeKeys::kAll), file_),
            (Shown{"eu.node_2 = b (F:3)", "node-1 = a (F:2)"}));
  EXPECT_EQ(shown(all.free_settings("none", FreeKeys::kAll), file_), Shown{});
  EXPECT_EQ(shown(all.free_settings("absent", FreeKeys::kDotted), file_), Shown{});
  EXPECT_TRUE(all.check().ok()) << all.check().message();
}

TEST_F(SettingsTest, WhatIsNotFreeIsLeftOver) {
  file("[bind]\npool_thread = 8\nzzzzzzzzz = 8\n[store-x]\nu.ri = x\n");
  flags_ = {"nodes.a b=1", "nodes..a=1", "store-x.a.b=1"};
  environment_ = {{"IMCTL_NODES__A", "1"}, {"IMCTL_BIND__A.S", "1"}};
  SettingsSources all = sources();
  EXPECT_TRUE(all.free_settings("bind", FreeKeys::kDotted).ok());
  EXPECT_TRUE(all.section("bind", {schemas_["HostConfig"]}).ok());
  EXPECT_EQ(shown(all.free_settings("nodes", FreeKeys::kAll), file_), Shown{});
  EXPECT_TRUE(all.section("store-x", {schemas_["Clash"]}).ok());
  std::string message = all.check().message();
  for (size_t at; (at = message.find(file_)) != std::string::npos;) {
    message.replace(at, file_.size(), "F");
  }
  EXPECT_EQ(message,
            "F:2: section [bind] has no setting `pool_thread`; did you mean `pool_threads`?\n"
            "F:3: section [bind] has no setting `zzzzzzzzz`; its settings are: pool_threads, and "
            "names with a dot in them\n"
            "F:5: section [store-x] has no setting `u.ri`; its settings are: pool_threads\n"
            "--set: section [nodes] has no setting `.a`; its settings are: names of letters, "
            "digits, -, _ and .\n"
            "--set: section [nodes] has no setting `a b`; its settings are: names of letters, "
            "digits, -, _ and .\n"
            "--set: section [store-x] has no setting `a.b`; its settings are: pool_threads\n"
            "env IMCTL_BIND__A.S: section [bind] has no such setting; what may have any name is "
            "set in the config file or with --set bind.NAME=VALUE\n"
            "env IMCTL_NODES__A: section [nodes] has no such setting; what may have any name is "
            "set in the config file or with --set nodes.NAME=VALUE");
}

TEST_F(SettingsTest, AFreeKeyTwice) {
  file("[bind]\na.S = 1\n\na.S = 2\n");
  EXPECT_EQ(shown(sources().free_settings("bind", FreeKeys::kDotted), file_),
            Shown{file_ + ":4: bind.a.S is on line 2 already; keep one"});
  flags_ = {"bind.a.S=3"};
  EXPECT_EQ(shown(sources().free_settings("bind", FreeKeys::kDotted), file_),
            Shown{"a.S = 3 (--set)"});
}

TEST_F(SettingsTest, SectionsOfModulesThatAreOffPass) {
  file("[store-x]\nlevel = 1\n[store-y]\nanything = x\na.b = y\n[zzzzzzzz]\n");
  flags_ = {"store-y.other=1"};
  environment_ = {{"IMCTL_STORE_Y__THIRD", "1"}};
  SettingsSources all = sources();
  all.known_elsewhere("store-y");
  all.known_elsewhere("zzzzzzzy");
  ASSERT_TRUE(all.section("store-x", {schemas_["Config"]}).ok());
  EXPECT_EQ(all.check().message(),
            file_ + ":6: no loaded module is named `zzzzzzzz`; did you mean `zzzzzzzy`?");
  // Also if what every module has was looked at.
  EXPECT_TRUE(all.section("store-y", {schemas_["HostConfig"]}).ok());
  EXPECT_EQ(all.check().message(),
            file_ + ":6: no loaded module is named `zzzzzzzz`; did you mean `zzzzzzzy`?");
}

TEST_F(SettingsTest, SectionsWithAKey) {
  file("[b]\nk = 1\n[a]\nk =\n[c]\nl = 1\n");
  flags_ = {"d.k=1", "e.l=1"};
  EXPECT_EQ(sources().sections_with("k"), (Shown{"a", "b", "d"}));
  EXPECT_EQ(sources().sections_with("m"), Shown{});
}

TEST_F(SettingsTest, AContentThatIsInNoFile) {
  auto loaded = SettingsSources::load_content("new.conf", "[store-x]\nlevel = 3\n",
                                              {"store-x.table=t_t"}, {});
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  auto section = loaded->section("store-x", {schemas_["Config"]});
  ASSERT_TRUE(section.ok()) << section.status().message();
  EXPECT_EQ(section->origin("level"), "new.conf:2: store-x.level");
  EXPECT_EQ(section->origin("table"), "--set: store-x.table");
  EXPECT_EQ(SettingsSources::load_content("new.conf", "\n[x\n", {}, {}).status().message(),
            "new.conf:2: a section is written [name]: the closing ] is missing");
}

TEST_F(SettingsTest, WhatOverridesTheFile) {
  file("[store-x]\nlevel = 1\ntable = t_t\nsize = 1MiB\nuri = sqlite:x\n[nodes]\nn = 1\n");
  flags_ = {"store-x.level=2", "bind.a.S=x"};
  environment_ = {
      {"IMCTL_STORE_X__SIZE", "2MiB"}, {"IMCTL_STORE_X__LEVEL", "3"}, {"TABLE", "u_u"},
      {"DB_URI", "postgres:x"},        {"IMCTL_NODES__N", "4"},       {"IMCTL_BIND__B.S", "4"}};
  SettingsSources all = sources();
  EXPECT_EQ(all.overridden_by("store-x", "level"), "--set");
  EXPECT_EQ(all.overridden_by("store-x", "size"), "env IMCTL_STORE_X__SIZE");
  EXPECT_TRUE(all.section("store-x", {schemas_["Config"]}).ok());
  EXPECT_EQ(all.overridden_by("store-x", "table"), "env TABLE");
  // Somebody else's.
  EXPECT_EQ(all.overridden_by("store-x", "uri"), std::nullopt);
  EXPECT_EQ(all.overridden_by("store-x", "keep"), std::nullopt);
  EXPECT_TRUE(all.free_settings("bind", FreeKeys::kDotted).ok());
  EXPECT_TRUE(all.free_settings("nodes", FreeKeys::kAll).ok());
  EXPECT_EQ(all.overridden_by("bind", "a.S"), "--set");
  EXPECT_EQ(all.overridden_by("bind", "b.S"), std::nullopt);
  EXPECT_EQ(all.overridden_by("nodes", "n"), std::nullopt);
}

TEST_F(SettingsTest, ASectionMayBeAskedForTwice) {
  SettingsSources all = sources();
  EXPECT_TRUE(all.section("store-x", {schemas_["Config"]}).ok());
  EXPECT_TRUE(all.section("store-x", {schemas_["Config"]}).ok());
}

}  // namespace
}  // namespace imctl::host
