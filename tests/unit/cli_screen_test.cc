// What is shown to people: rounded numbers, several parts on one screen, progress, --watch.
#include <google/protobuf/text_format.h>

#include <sstream>
#include <utility>

#include "cli/human.h"
#include "cli/parts.h"
#include "cli/printer.h"
#include "cli/progress.h"
#include "cli/words.h"
#include "cli_fixture.h"

namespace imctl::host::cli {
namespace {

TEST(HumanTest, Bytes) {
  EXPECT_EQ(human_bytes(0), "0");
  EXPECT_EQ(human_bytes(1023), "1023");
  EXPECT_EQ(human_bytes(1024), "1KiB");
  EXPECT_EQ(human_bytes(65536), "64KiB");
  EXPECT_EQ(human_bytes(5000000), "5MB");
  EXPECT_EQ(human_bytes(12345678), "11.8MiB");
  EXPECT_EQ(human_bytes(1048575), "1MiB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "16777216TiB");
}

TEST(HumanTest, Durations) {
  EXPECT_EQ(human_duration(0, 0), "0s");
  EXPECT_EQ(human_duration(0, 17), "17ns");
  EXPECT_EQ(human_duration(0, 17000), "17us");
  EXPECT_EQ(human_duration(0, 250000000), "250ms");
  EXPECT_EQ(human_duration(1, 254000000), "1.25s");
  EXPECT_EQ(human_duration(125, 0), "2m5s");
  EXPECT_EQ(human_duration(93784, 0), "1d2h");
  EXPECT_EQ(human_duration(86400, 0), "1d");
  EXPECT_EQ(human_duration(-90, 0), "-1m30s");
}

TEST(HumanTest, Numbers) {
  EXPECT_EQ(human_number(0), "0");
  EXPECT_EQ(human_number(1.0L / 3), "0.333");
  EXPECT_EQ(human_number(1234567.5), "1234567.5");
  EXPECT_EQ(human_number(2e-7), "2e-07");
}

TEST(WordsTest, AsAShellHasThem) {
  auto words = [](const std::string& line) {
    Result<std::vector<std::string>> result = shell_words(line);
    return result.ok() ? *result : std::vector<std::string>{"!" + result.status().message()};
  };
  using List = std::vector<std::string>;
  EXPECT_EQ(words("  a  b\t"), (List{"a", "b"}));
  EXPECT_EQ(words("'a b' \"c \\\" \\x\" d\\ e ''"), (List{"a b", "c \" \\x", "d e", ""}));
  EXPECT_EQ(words("a#b # c"), (List{"a#b"}));
  EXPECT_EQ(words("# all"), List());
  EXPECT_EQ(words("a'b'\"c\""), (List{"abc"}));
  EXPECT_EQ(words("'a"), (List{"!the ' does not end"}));
  EXPECT_EQ(words("a\\"), (List{"!nothing follows the last \\"}));
}

class PartsTest : public NotesTest {
 protected:
  std::string print(const std::string& text, const std::vector<std::string>& columns,
                    size_t width = 0, View view = {}) {
    auto reply = make("Overview");
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, reply.get()));
    imctl::Verb verb;
    for (const std::string& column : columns) verb.add_columns(column);
    std::ostringstream out;
    Printer printer(type("Overview"), verb, std::move(view), {out, out, -1, width});
    error_ = printer.check();
    if (error_.ok()) printer.print(reply.get());
    return out.str();
  }
  static constexpr const char* kText =
      "title: 'all' count: 2 notes { id: 'b' small: 10 } notes { id: 'a' small: 9 } "
      "first { id: 'x' }";
  Status error_;
};

TEST_F(PartsTest, LinesAndTables) {
  EXPECT_EQ(print("title: 'all'", {"title", "count"}), "TITLE  COUNT\nall    0\n");
  EXPECT_EQ(print(kText, {"count", "notes.id", "notes.small"}),
            "Count:  2\n\nNotes:\n  ID  SMALL\n  b   10\n  a   9\n");
  // Nothing is said of the parts: all of them.
  std::string all = print("title: 'a title that is long' first { id: 'x' }", {}, 16);
  EXPECT_EQ(all.substr(0, all.find("  Size")),
            "Title:  a title…\nCount:  0\n\nFirst:\n  Id:     x\n  Small:  0\n");
}

TEST_F(PartsTest, ColumnsAndOrderThatAreAskedFor) {
  View view;
  view.columns = {"notes.id"};
  view.sort_by = "notes.small";
  EXPECT_EQ(print(kText, {"count", "notes.small"}, 0, view),
            "Title:  all\nCount:  2\n\nNotes:\n  ID\n  a\n  b\n");
  view.sort_by = "notes.small:desc";
  EXPECT_NE(print(kText, {"count", "notes.small"}, 0, view).find("  b\n  a\n"), std::string::npos);
  view.sort_by = "count";
  print(kText, {}, 0, view);
  EXPECT_NE(error_.message().find("LIST.COLUMN"), std::string::npos);
  view.sort_by = "";
  view.columns = {"nots.id"};
  print(kText, {"notes.id"}, 0, view);
  EXPECT_EQ(error_.code(), IMCTL_INVALID_ARGUMENT);
}

class ProgressTest : public testing::Test {
 protected:
  std::ostringstream out_;
  Progress::Clock::time_point start_ = Progress::Clock::now();
};

TEST_F(ProgressTest, LinesNowAndThen) {
  Progress progress(out_, 0, false, start_);
  progress.show(1, 100, start_ + std::chrono::seconds(1));
  progress.show(5, 100, start_ + std::chrono::seconds(5));
  EXPECT_EQ(out_.str(), "");
  progress.show(20, 100, start_ + std::chrono::seconds(10));
  EXPECT_EQ(out_.str(), "20 of 100, 2/s, 40s left\n");
  out_.str("");
  progress.show(30, 100, start_ + std::chrono::seconds(15));
  progress.finish(start_ + std::chrono::seconds(15));
  EXPECT_EQ(out_.str(), "30 of 100, 2/s, 35s left\n");
}

TEST_F(ProgressTest, BytesAndNoTotal) {
  Progress progress(out_, 0, true, start_);
  progress.show(4096, 0, start_);
  progress.show(2 << 20, 0, start_ + std::chrono::seconds(1));
  progress.finish(start_ + std::chrono::seconds(1));
  EXPECT_EQ(out_.str(), "2MiB, 2MiB/s\n");
}

TEST_F(ProgressTest, ABarThatFits) {
  Progress progress(out_, 60, false, start_);
  progress.show(1, 4, start_ + std::chrono::seconds(1));
  std::string shown = out_.str();
  EXPECT_EQ(shown, "\r\x1b[K[########                       ] 25% 1 of 4, 1/s, 3s left") << shown;
  // Not for every message.
  progress.show(2, 4, start_ + std::chrono::milliseconds(1050));
  EXPECT_EQ(out_.str(), shown);
}

}  // namespace
}  // namespace imctl::host::cli
