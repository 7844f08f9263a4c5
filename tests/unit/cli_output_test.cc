// Replies on the terminal and for scripts.
#include <google/protobuf/text_format.h>

#include <sstream>

#include "cli/columns.h"
#include "cli/printer.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "cli_fixture.h"
#include "core/utf8.h"

namespace imctl::host::cli {
namespace {

TEST(TextTest, WidthAndFit) {
  (void)std::setlocale(LC_CTYPE, "C.UTF-8");  // NOLINT(concurrency-mt-unsafe)
  EXPECT_EQ(display_width("héllo"), 5U);
  EXPECT_EQ(display_width("日本"), 4U);
  EXPECT_EQ(display_width("e\u0301"), 1U);
  EXPECT_EQ(fit("hello", 5), "hello");
  EXPECT_EQ(fit("hello!", 5), "hell…");
  EXPECT_EQ(fit("日本語", 4), "日… ");
}

TEST(TextTest, NothingDrivesTheTerminal) {
  EXPECT_EQ(clean_line("a\nb\tc\r\x1b[31m\x7f"), "a\\nb\\tc\\r\\x1b[31m\\x7f");
  EXPECT_EQ(clean_line("\xff"
                       "é"),
            "\\xff"
            "é");
  EXPECT_EQ(clean_line("\u202e"), "\\xe2\\x80\\xae");
  EXPECT_FALSE(is_utf8("\xc0\x80"));
  EXPECT_FALSE(is_utf8("\xed\xa0\x80"));
  EXPECT_TRUE(is_utf8("𝄞"));
}

TEST(TextTest, WrapHangsListItems) {
  EXPECT_EQ(wrap("aa bb cc\n\n- dd ee", 2, 8), "  aa bb\n  cc\n\n  - dd\n    ee\n");
  EXPECT_EQ(reflow(" One\n two.\n\n Three:\n - a\n   b\n - c\n Four\n"),
            "One two.\n\nThree:\n- a b\n- c\nFour");
  EXPECT_EQ(summary("One two. Three"), "One two");
}

TEST(TableTest, AlignsAndFits) {
  (void)std::setlocale(LC_CTYPE, "C.UTF-8");  // NOLINT(concurrency-mt-unsafe)
  std::ostringstream out;
  Table table({"ID", "NAME", "X"}, {});
  table.add({"1", "日本", "z"});
  table.add({"22", "", ""});
  table.flush(out);
  table.add({"3", "longer name", "y"});
  table.flush(out);
  EXPECT_EQ(out.str(), "ID  NAME  X\n1   日本  z\n22\n3   longer name  y\n");
  std::ostringstream narrow;
  Table fitted({"ID", "TEXT"}, {false, 12});
  fitted.add({"1", "a text that is too long"});
  fitted.flush(narrow);
  EXPECT_EQ(narrow.str(), "1  a text t…\n");
}

class OutputTest : public NotesTest {
 protected:
  std::unique_ptr<google::protobuf::Message> note(const std::string& text) {
    auto message = make("Note");
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get()));
    return message;
  }
  std::string json_of(const std::string& text, const std::string& key) {
    Tree tree = to_tree(*note(text));
    for (size_t i = 0; i < tree.keys.size(); ++i) {
      if (tree.keys[i] == key) return to_json(tree.items[i], false);
    }
    return "(absent)";
  }
  std::string print(Format format, const std::string& reply_text, size_t width = 0) {
    auto reply = make("GetReply");
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(reply_text, reply.get()));
    std::ostringstream out;
    Printer printer(type("GetReply"), verb({"note", "get"}), {format}, {out, out, -1, width});
    printer.print(reply.get());
    none_ = printer.found_none();
    return out.str();
  }
  bool none_ = false;
};

TEST_F(OutputTest, Json) {
  EXPECT_EQ(json_of("", "small"), "0");
  EXPECT_EQ(json_of("", "tags"), "[]");
  EXPECT_EQ(json_of("", "perhaps"), "(absent)");
  EXPECT_EQ(json_of("", "plain"), "(absent)");
  EXPECT_EQ(json_of("password: 'x'", "password"), "(absent)");
  EXPECT_EQ(json_of("big: -9", "big"), "\"-9\"");
  EXPECT_EQ(json_of("ratio: inf", "ratio"), "\"Infinity\"");
  EXPECT_EQ(json_of("ratio: 0.1", "ratio"), "0.1");
  EXPECT_EQ(json_of("blob: 'hello'", "blob"), "\"aGVsbG8=\"");
  EXPECT_EQ(json_of("color: COLOR_DARK_BLUE", "color"), "\"COLOR_DARK_BLUE\"");
  EXPECT_EQ(json_of("age { seconds: 1 nanos: 500000000 }", "age"), "\"1.500s\"");
  EXPECT_EQ(json_of("time { seconds: 60 }", "time"), "\"1970-01-01T00:01:00Z\"");
  EXPECT_EQ(json_of("maybe { value: true }", "maybe"), "true");
  EXPECT_EQ(json_of("labels { key: 'b' value: '2' } labels { key: 'a' value: '1' }", "labels"),
            "{\"a\":\"1\",\"b\":\"2\"}");
  EXPECT_EQ(
      json_of("data { fields { key: 'k' value { list_value { values { null_value: 0 } } } } }",
              "data"),
      "{\"k\":[null]}");
  EXPECT_EQ(json_of("id: '\"\\\\\\n\\033'", "id"), "\"\\\"\\\\\\n\\u001b\"");
}

TEST_F(OutputTest, AnyKnownAndUnknown) {
  EXPECT_EQ(
      json_of("extra { type_url: 'type.googleapis.com/notes.v1.PutReply' value: '\\x08\\x05' }",
              "extra"),
      "{\"@type\":\"type.googleapis.com/notes.v1.PutReply\",\"ackCount\":5}");
  EXPECT_EQ(json_of("extra { type_url: 'x/unknown.Type' value: 'ab' }", "extra"),
            "{\"@type\":\"x/unknown.Type\",\"value\":\"YWI=\"}");
}

TEST_F(OutputTest, Yaml) {
  Tree tree = Tree::object();
  tree.add("plain", Tree::string("a-b"));
  for (const char* text : {"5", "true", "", "a: b", "2024-01-01", "no", "é", "line\nbreak"}) {
    tree.add("k" + std::to_string(tree.keys.size()), Tree::string(text));
  }
  Tree list = Tree::list();
  Tree item = Tree::object();
  item.add("x", Tree::literal("1"));
  item.add("z", Tree::object());
  list.items.push_back(item);
  list.items.push_back(Tree::list());
  tree.add("list", list);
  EXPECT_EQ(to_yaml(tree),
            "plain: a-b\nk1: \"5\"\nk2: \"true\"\nk3: \"\"\nk4: \"a: b\"\nk5: \"2024-01-01\"\nk6: "
            "\"no\"\n"
            "k7: \"é\"\nk8: \"line\\nbreak\"\nlist:\n  - x: 1\n    z: {}\n  - []\n");
  EXPECT_EQ(to_yaml(Tree::object()), "{}\n");
}

TEST_F(OutputTest, Cells) {
  auto one = note(
      "id: 'x' tags: 'a' tags: 'b' size: 65536 password: 'p' attributes { key: 'sub.ject' value { "
      "text: 'hi' } } "
      "attributes { key: 'n' value { number: 7 } } labels { key: 'k' value: 'v' } plain: 'body'");
  EXPECT_EQ(cell(*one, "tags"), "a,b");
  EXPECT_EQ(cell(*one, "size"), "64KiB");
  EXPECT_EQ(cell(*one, "attributes.sub.ject"), "hi");
  EXPECT_EQ(cell(*one, "attributes.n"), "7");
  EXPECT_EQ(cell(*one, "attributes.n.number"), "7");
  EXPECT_EQ(cell(*one, "attributes.none"), "");
  EXPECT_EQ(cell(*one, "attributes"), "n=7,sub.ject=hi");
  EXPECT_EQ(cell(*one, "body"), "body");
  EXPECT_EQ(cell(*one, "password"), "(secret)");
  EXPECT_EQ(cell(*one, "value.text"), "");
  EXPECT_EQ(cell(*note("blob: '\\xff\\xfe'"), "blob"), "(2 bytes)");
}

TEST_F(OutputTest, Formats) {
  const std::string two =
      "notes { id: 'a' tags: 't' attributes { key: 'subject' value { text: 's' } } } notes { id: "
      "'b' }";
  EXPECT_EQ(print(Format::kTable, two),
            "ID  SUBJECT  TAGS  SIZE\na   s        t     0\nb                  0\n");
  EXPECT_EQ(print(Format::kName, two), "a\nb\n");
  EXPECT_EQ(print(Format::kWide, "notes { id: 'a' }").find("ID  SUBJECT  TAGS  SIZE  SMALL  RATIO"),
            0U);
  std::string lines = print(Format::kJsonLines, two);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2);
  EXPECT_EQ(print(Format::kTable, ""), "");
  EXPECT_TRUE(none_);
  EXPECT_EQ(print(Format::kJson, ""), "{\n  \"notes\": []\n}\n");
}

}  // namespace
}  // namespace imctl::host::cli
