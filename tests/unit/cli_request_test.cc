// Requests from files: JSON, YAML, several documents, lines.
#include <fcntl.h>
#include <google/protobuf/text_format.h>

#include "cli/documents.h"
#include "cli/request_source.h"
#include "cli/yaml_input.h"
#include "cli_fixture.h"

namespace imctl::host::cli {
namespace {

class Documents : public testing::Test {
 protected:
  // "json@1:{...}|yaml@3:...", or the error.
  std::string split(const std::string& name, const std::string& content) {
    DocumentReader reader(folder_.write(name, content));
    std::string all;
    while (true) {
      Result<std::optional<Document>> next = reader.next();
      if (!next.ok()) return "error: " + next.status().message().substr(folder_.path().size() + 1);
      if (!*next) return all;
      all += (all.empty() ? "" : "|") + std::string((*next)->yaml ? "yaml@" : "json@") +
             std::to_string((*next)->line) + ":" + (*next)->text;
    }
  }
  TemporaryFolder folder_;
};

TEST_F(Documents, JsonOneAfterAnother) {
  EXPECT_EQ(split("a", "\n{\"a\":\"}\\\"{\"}\n {}{\n}"),
            "json@2:{\"a\":\"}\\\"{\"}|json@3:{}|json@3:{\n}");
  EXPECT_EQ(split("a", "\xEF\xBB\xBF{}"), "json@1:{}");
  EXPECT_EQ(split("a", ""), "");
  EXPECT_EQ(split("a", " {\n\"a\": ["), "error: a:1: the object that begins here does not end");
  EXPECT_EQ(split("a", "{}\n5"), "error: a:2: a request is an object, so it begins with {");
}

TEST_F(Documents, JsonAcrossReads) {
  std::string big = "{\"a\":\"" + std::string(200000, 'x') + "\"}";
  EXPECT_EQ(split("a", big + big), "json@1:" + big + "|json@1:" + big);
}

TEST_F(Documents, Yaml) {
  EXPECT_EQ(split("a", "a: 1\n---\nb: 2\n...\n---\nc: 3"),
            "yaml@1:a: 1\n|yaml@3:b: 2\n|yaml@6:c: 3\n");
  EXPECT_EQ(split("a", "--- {a: 1}\n--- {b: 2}\n"), "yaml@1:    {a: 1}\n|yaml@2:    {b: 2}\n");
  EXPECT_EQ(split("a.yaml", "{a: 1}\r\n"), "yaml@1:{a: 1}\n");
}

class RequestTest : public NotesTest {
 protected:
  // The requests in text, or the error.
  std::vector<std::string> requests(const std::vector<std::string>& path,
                                    const std::vector<std::string>& tokens, int in = -1) {
    Arguments arguments(method(path)->input_type(), verb(path));
    Result<Given> given = arguments.parse(tokens);
    EXPECT_TRUE(given.ok()) << given.status().message();
    RequestSource source(method(path), arguments, *given, &factory_, in);
    std::vector<std::string> all;
    while (true) {
      Result<std::optional<std::string>> next = source.next();
      if (!next.ok()) return {"error: " + next.status().message()};
      if (!*next) return all;
      std::unique_ptr<google::protobuf::Message> message(
          factory_.GetPrototype(method(path)->input_type())->New());
      EXPECT_TRUE(message->ParseFromString(**next));
      all.push_back(message->ShortDebugString());
    }
  }
  std::vector<std::string> put(const std::string& name, const std::string& content,
                               std::vector<std::string> tokens = {}) {
    tokens.insert(tokens.end(), {"-f", folder_.write(name, content)});
    return requests({"note", "put"}, tokens);
  }
  TemporaryFolder folder_;
};

using List = std::vector<std::string>;

TEST_F(RequestTest, JsonAndFlagsOnTop) {
  EXPECT_EQ(requests({"note", "get"}, {"a", "b"}), (List{"ids: \"a\" ids: \"b\""}));
  EXPECT_EQ(put("a", R"({"id":"x","small":1,"big":"5"})", {"--small", "2"}),
            (List{"id: \"x\" small: 2 big: 5"}));
  List any = put("a", R"({"extra":{"@type":"type.googleapis.com/notes.v1.Value","text":"x"}})");
  EXPECT_EQ(any, (List{"extra { [type.googleapis.com/notes.v1.Value] { text: \"x\" } }"}));
}

TEST_F(RequestTest, YamlScalarsHaveTheFieldsType) {
  List expected = {
      "id: \"42\" small: 7 ratio: 0.5 done: true blob: \"hello world\" color: COLOR_DARK_BLUE "
      "tags: \"1.0\" tags: \"true\" age { seconds: 90 } labels { key: \"n\" value: \"5\" } "
      "attributes { key: \"a\" value { number: 3 } } data { fields { key: \"k\" value { "
      "number_value: 1 } } }"};
  EXPECT_EQ(
      put("a.yaml",
          "id: 42\nsmall: 7\nratio: 0.5\ndone: true\nblob: !!binary |\n  aGVsbG8g\n  d29ybGQ=\n"
          "color: COLOR_DARK_BLUE\ntags: [1.0, true]\nage: 90s\nlabels: {n: 5}\n"
          "attributes:\n  a: {number: 3}\ndata: {k: 1}\n"),
      expected);
  EXPECT_EQ(put("a.yaml", "id: 'x'\nperhaps: ~\n"), (List{"id: \"x\""}));
}

TEST_F(RequestTest, ErrorsNameTheFileAndTheReason) {
  auto has = [](const List& got, const std::string& text) {
    EXPECT_EQ(got.size(), 1U);
    EXPECT_NE(got[0].find(text), std::string::npos) << got[0];
  };
  has(put("bad.json", "\n{\"idd\":1}"), "bad.json:2: does not fit notes.v1.Note: ");
  has(put("bad.json", "\n{\"idd\":1}"), "idd");
  has(put("bad.yaml", "id: x\n bad: y\n"), "bad.yaml:2:");
  has(put("bad.yaml", "a: 1\n---\n- 5\n"), "error");
  has(put("empty", ""), "empty: there is no request in it");
  has(requests({"note", "put"}, {"-f", "/no/such"}), "cannot open /no/such: No such file");
}

TEST_F(RequestTest, StreamsOfDocumentsAndLines) {
  std::string jsonl = folder_.write("a", "{\"id\":\"a\"}\n{\"id\":\"b\"}\n");
  EXPECT_EQ(requests({"note", "upload"}, {"-f", jsonl, "--small", "1"}),
            (List{"id: \"a\" small: 1", "id: \"b\" small: 1"}));
  int fd = ::open(folder_.write("lines", "hello\r\n\nlast").c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(requests({"note", "chat"}, {"--to", "bob"}, fd),
            (List{"to: \"bob\"", "text: \"hello\" to: \"bob\"", "to: \"bob\"",
                  "text: \"last\" to: \"bob\""}));
  ::close(fd);
}

TEST_F(RequestTest, YamlErrorsCountLinesInTheFile) {
  Result<std::string> json = yaml_to_json("a: [1\n", type("Note"), 10);
  ASSERT_FALSE(json.ok());
  EXPECT_EQ(json.status().message().find('1'), 0U) << json.status().message();
}

}  // namespace
}  // namespace imctl::host::cli
