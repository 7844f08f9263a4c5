// Words on the command line: the shared flags, a verb's arguments, values of fields.
#include <google/protobuf/text_format.h>

#include "cli/address.h"
#include "cli/arguments.h"
#include "cli/field_value.h"
#include "cli/flags.h"
#include "cli/suggest.h"
#include "cli_fixture.h"

namespace imctl::host::cli {
namespace {

TEST(FlagsTest, StandAnywhereAndLeaveTheRest) {
  Result<Flags> flags =
      parse_flags({"-o", "json", "note", "put", "--small", "5", "--server", "1234",
                   "--timeout=1.5s", "-l5", "--dry-run", "--", "--embedded"});
  ASSERT_TRUE(flags.ok()) << flags.status().message();
  EXPECT_EQ(flags->output, Format::kJson);
  EXPECT_EQ(flags->server, "127.0.0.1:1234");
  EXPECT_EQ(flags->timeout, std::chrono::milliseconds(1500));
  EXPECT_TRUE(flags->dry_run);
  EXPECT_FALSE(flags->embedded);
  EXPECT_EQ(flags->rest,
            (std::vector<std::string>{"note", "put", "--small", "5", "-l5", "--", "--embedded"}));
}

TEST(FlagsTest, SayWhatIsWrong) {
  EXPECT_NE(parse_flags({"-o", "jsn"}).status().message().find("did you mean `json`"),
            std::string::npos);
  EXPECT_NE(parse_flags({"--timeout", "soon"}).status().message().find("'soon'"),
            std::string::npos);
  EXPECT_NE(parse_flags({"--server", "foo"}).status().message().find("'foo'"), std::string::npos);
  EXPECT_EQ(parse_flags({"--server"}).status().message(), "--server needs a value");
  EXPECT_FALSE(parse_flags({"--dry-run=yes"}).ok());
}

TEST(AddressTest, NormalForms) {
  EXPECT_EQ(*normal_address("/run/x.sock"), "unix:/run/x.sock");
  EXPECT_EQ(*normal_address("unix:/x"), "unix:/x");
  EXPECT_EQ(*normal_address(":99"), "127.0.0.1:99");
  EXPECT_EQ(*normal_address("host.example:99"), "host.example:99");
  EXPECT_EQ(*normal_address("[::1]:99"), "[::1]:99");
  EXPECT_FALSE(normal_address("http://x:80/").ok());
  EXPECT_FALSE(normal_address("").ok());
}

TEST(AddressTest, ComesFromTheConfigFile) {
  TemporaryFolder folder;
  std::string config =
      folder.write("imctl.conf", "[host]\nsocket = " + folder.path() +
                                     "/none.sock\nlisten = 127.0.0.1:7777, [::1]:1\n");
  EXPECT_EQ(*default_address(config), "127.0.0.1:7777");  // there is no such socket
  EXPECT_FALSE(default_address(folder.path() + "/missing.conf").ok());
}

TEST(SuggestTest, NearestAndNothing) {
  std::vector<std::string> words = {"put", "get", "delete", "clean"};
  EXPECT_EQ(nearest("putt", words), "put");
  EXPECT_EQ(nearest("gte", words), "get");
  EXPECT_EQ(nearest("del", words), "delete");
  EXPECT_EQ(nearest("celan", words), "clean");
  EXPECT_EQ(nearest("frobnicate", words), "");
  EXPECT_EQ(nearest("", words), "");
}

class FieldTest : public NotesTest {
 protected:
  // What the note is after the field was set, or the error.
  std::string set(const std::string& name, const std::vector<std::string>& texts) {
    auto note = make("Note");
    for (const std::string& text : texts) {
      Status status = set_field(note.get(), field(name), text);
      if (!status.ok()) return "error: " + status.message();
    }
    google::protobuf::TextFormat::Printer printer;
    printer.SetSingleLineMode(true);
    std::string out;
    printer.PrintToString(*note, &out);
    return out.substr(0, out.find_last_not_of(' ') + 1);
  }
  void refuses(const std::string& name, const std::string& text, const std::string& why) {
    EXPECT_NE(set(name, {text}).find(why), std::string::npos) << set(name, {text});
  }
};

TEST_F(FieldTest, Scalars) {
  EXPECT_EQ(set("small", {"-5"}), "small: -5");
  EXPECT_EQ(set("big", {"9223372036854775807"}), "big: 9223372036854775807");
  EXPECT_EQ(set("size", {"64KiB"}), "size: 65536");
  EXPECT_EQ(set("ratio", {"1e3"}), "ratio: 1000");
  EXPECT_EQ(set("done", {"true"}), "done: true");
  EXPECT_EQ(set("id", {"é"}), "id: \"\\303\\251\"");
  EXPECT_EQ(set("tags", {"a", "b,c"}), "tags: \"a\" tags: \"b,c\"");
  EXPECT_EQ(set("maybe", {"false"}), "maybe { }");
  refuses("small", "2147483648", "from -2147483648 to 2147483647");
  refuses("small", "5x", "not a whole number");
  refuses("size", "-1", "not a size");
  refuses("done", "perhaps", "neither true nor false");
  refuses("ratio", "", "not a number");
  refuses("id", "\xff", "not UTF-8");
}

TEST_F(FieldTest, Enums) {
  EXPECT_EQ(set("color", {"dark-blue"}), "color: COLOR_DARK_BLUE");
  EXPECT_EQ(set("color", {"COLOR_DARK_BLUE"}), "color: COLOR_DARK_BLUE");
  refuses("color", "dark-bleu", "did you mean `dark-blue`");
}

TEST_F(FieldTest, MessagesOfTheirOwnNotation) {
  EXPECT_EQ(set("age", {"168h"}), "age { seconds: 604800 }");
  EXPECT_EQ(set("age", {"-1.5s"}), "age { seconds: -1 nanos: -500000000 }");
  EXPECT_EQ(set("time", {"1970-01-01T00:01:00.5Z"}), "time { seconds: 60 nanos: 500000000 }");
  refuses("age", "soon", "not a duration");
  refuses("time", "yesterday", "not a time");
}

TEST_F(FieldTest, MapsAndJson) {
  EXPECT_EQ(set("labels", {"a=b=c"}), "labels { key: \"a\" value: \"b=c\" }");
  EXPECT_EQ(set("attributes", {"n={\"number\": 7}"}),
            "attributes { key: \"n\" value { number: 7 } }");
  EXPECT_EQ(set("value", {"{\"text\":\"x\"}"}), "value { text: \"x\" }");
  refuses("labels", "a", "KEY=VALUE");
  refuses("value", "{\"txet\":1}", "txet");
}

TEST_F(FieldTest, BytesFromAFile) {
  TemporaryFolder folder;
  std::string file = folder.write("b", std::string("\0x", 2));
  EXPECT_EQ(set("blob", {file}), "blob: \"\\000x\"");
  EXPECT_EQ(set("blob", {"@" + file}), "blob: \"\\000x\"");
  refuses("blob", folder.path() + "/none", "none: No such file");
}

class ArgumentsTest : public NotesTest {
 protected:
  Arguments put_{type("Note"), verb({"note", "put"})};
  Arguments get_{type("GetRequest"), verb({"note", "get"})};

  std::string error(const Arguments& arguments, const std::vector<std::string>& tokens) {
    Result<Given> given = arguments.parse(tokens);
    if (!given.ok()) return given.status().message();
    auto message = make(&arguments == &put_ ? "Note" : "GetRequest");
    return arguments.apply(*given, message.get()).message();
  }
};

TEST_F(ArgumentsTest, PlacesFlagsAndShortFlags) {
  Result<Given> given = get_.parse({"a", "b", "--", "-c"});
  ASSERT_TRUE(given.ok());
  EXPECT_EQ(given->values.size(), 3U);
  EXPECT_EQ(given->values[2].second, "-c");
  given = put_.parse({"-s", "5", "--done", "--maybe=false", "-f", "-"});
  ASSERT_TRUE(given.ok()) << given.status().message();
  EXPECT_EQ(given->file, "-");
  auto note = make("Note");
  ASSERT_TRUE(put_.apply(*given, note.get()).ok());
  EXPECT_EQ(note->GetReflection()->GetInt32(*note, field("small")), 5);
  EXPECT_TRUE(note->GetReflection()->GetBool(*note, field("done")));
  EXPECT_TRUE(note->GetReflection()->HasField(*note, field("maybe")));
}

TEST_F(ArgumentsTest, AFlagThatIsEveryVerbsGivesWay) {
  Result<Given> given = put_.parse({"--field-config", "x"});
  ASSERT_TRUE(given.ok());
  EXPECT_EQ(given->values[0].first->name(), "config");
}

TEST_F(ArgumentsTest, AListReplacesTheFilesAndAMapAddsToIt) {
  auto note = make("Note");
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "tags: 'old' labels { key: 'a' value: '1' }", note.get()));
  ASSERT_TRUE(
      put_.apply(*put_.parse({"--tags", "x", "--tags", "y", "--labels", "b=2"}), note.get()).ok());
  EXPECT_EQ(note->GetReflection()->FieldSize(*note, field("tags")), 2);
  EXPECT_EQ(note->GetReflection()->FieldSize(*note, field("labels")), 2);
}

TEST_F(ArgumentsTest, Mistakes) {
  EXPECT_EQ(error(put_, {"--samll", "1"}), "no such flag --samll (did you mean --small?)");
  EXPECT_EQ(error(put_, {"--small"}), "--small needs a value");
  EXPECT_EQ(error(put_, {"--small", "1", "--small", "2"}), "--small is there twice");
  EXPECT_EQ(error(put_, {"--plain", "a", "--rich", "b"}), "--plain and --rich exclude each other");
  EXPECT_EQ(error(put_, {"--small", "many"}).find("--small: 'many'"), 0U);
  EXPECT_NE(error(put_, {"x"}).find("what is 'x' for?"), std::string::npos);
}

TEST_F(ArgumentsTest, SecretsComeFromElsewhereAndAreNotRepeated) {
  Result<Given> given = put_.parse({"--password=hunter2"});
  ASSERT_TRUE(given.ok());
  Status status = put_.read_secrets(&*given);
  EXPECT_NE(status.message().find("not taken from the command line"), std::string::npos);
  EXPECT_EQ(status.message().find("hunter2"), std::string::npos);
  TemporaryFolder folder;
  given = put_.parse({"--password=@" + folder.write("p", "hunter2\n")});
  ASSERT_TRUE(put_.read_secrets(&*given).ok());
  EXPECT_EQ(given->values[0].second, "hunter2");
}

}  // namespace
}  // namespace imctl::host::cli
