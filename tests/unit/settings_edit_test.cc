#include "core/settings_edit.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/settings_file.h"
#include "core/settings_history.h"

namespace imctl::host {
namespace {

namespace fs = std::filesystem;

// ---- editing
// --------------------------------------------------------------------------------------

std::string set(const std::string& content, const std::string& section, const std::string& key,
                const std::string& text) {
  auto edit = SettingsEdit::open(content, "f");
  if (!edit.ok()) return edit.status().message();
  Status status = edit->set(section, key, text);
  return status.ok() ? edit->content() : status.message();
}

std::string unset(const std::string& content, const std::string& section, const std::string& key) {
  auto edit = SettingsEdit::open(content, "f");
  if (!edit.ok()) return edit.status().message();
  bool removed = edit->unset(section, key);
  EXPECT_EQ(removed, edit->content() != content);
  return edit->content();
}

// The line `k = ...` of one section after its value is set.
std::string line_after(const std::string& line, const std::string& text) {
  std::string content = set("[s]\n" + line + "\n", "s", "k", text);
  auto file = parse_settings(content, "f");
  EXPECT_TRUE(file.ok() && file->entries.size() == 1 && file->entries[0].text == text) << content;
  return content.substr(4, content.size() - 5);
}

TEST(SettingsEdit, AValueIsReplacedInItsLine) {
  EXPECT_EQ(line_after("k = a", "b"), "k = b");
  EXPECT_EQ(line_after("k=a", "b"), "k=b");
  EXPECT_EQ(line_after("  k  =  a  ", "b"), "  k  =  b");
  EXPECT_EQ(line_after("k = a   # why", "b"), "k = b   # why");
  EXPECT_EQ(line_after("k = a\t# why", "b"), "k = b\t# why");
  EXPECT_EQ(line_after("k = \"a # b\"# why", "b"), "k = \"b\" # why");
  EXPECT_EQ(line_after("k = \"a\"", ""), "k = \"\"");
  EXPECT_EQ(line_after("k = a", ""), "k =");
  EXPECT_EQ(line_after("k = a # why", ""), "k =  # why");
  EXPECT_EQ(line_after("k = # why", "b"), "k = b # why");
  EXPECT_EQ(line_after("k =# why", "b"), "k = b # why");
  EXPECT_EQ(line_after("k=# why", "b"), "k=b # why");
  EXPECT_EQ(line_after("k =", "b"), "k = b");
  EXPECT_EQ(line_after("k=", "b"), "k=b");
}

TEST(SettingsEdit, QuotesWhereTheyAreNeeded) {
  EXPECT_EQ(line_after("k = a", "x:y#part"), "k = x:y#part");
  EXPECT_EQ(line_after("k = a", "x y; z"), "k = x y; z");
  EXPECT_EQ(line_after("k = a", "x \"y\" \\"), "k = x \"y\" \\");
  EXPECT_EQ(line_after("k = a", "x #y"), "k = \"x #y\"");
  EXPECT_EQ(line_after("k = a", "#y"), "k = \"#y\"");
  EXPECT_EQ(line_after("k = a", " y"), "k = \" y\"");
  EXPECT_EQ(line_after("k = a", "y\t"), "k = \"y\t\"");
  EXPECT_EQ(line_after("k = a", "\"y\\"), "k = \"\\\"y\\\\\"");
}

TEST(SettingsEdit, ANewKeyGoesBelowTheLastOfItsSection) {
  const std::string content =
      "# top\n[a]\nk = 1  # one\n# below\n\n[b]\n# nothing yet\n\n[a]\n  l = 2\n";
  EXPECT_EQ(set(content, "a", "m", "3"), content + "  m = 3\n");
  EXPECT_EQ(set(content, "b", "m", "3"),
            "# top\n[a]\nk = 1  # one\n# below\n\n[b]\nm = 3\n# nothing yet\n\n[a]\n  l = 2\n");
  EXPECT_EQ(set(content, "c", "m", "3"), content + "\n[c]\nm = 3\n");
  EXPECT_EQ(set(content, "a", "k", "3"),
            "# top\n[a]\nk = 3  # one\n# below\n\n[b]\n# nothing yet\n\n[a]\n  l = 2\n");
  EXPECT_EQ(set("", "c", "m", ""), "[c]\nm =\n");
  EXPECT_EQ(set("# top\n\n", "c", "m", "3"), "# top\n\n[c]\nm = 3\n");
  EXPECT_EQ(set("", "bind", "awakari.messages.Service", "storage-sqlite"),
            "[bind]\nawakari.messages.Service = storage-sqlite\n");
}

TEST(SettingsEdit, LineEndsAndAByteOrderMarkStay) {
  EXPECT_EQ(set("\xef\xbb\xbf[a]\r\nk = 1\r\n", "a", "k", "2"), "\xef\xbb\xbf[a]\r\nk = 2\r\n");
  EXPECT_EQ(set("[a]\r\nk = 1\r\n", "a", "l", "2"), "[a]\r\nk = 1\r\nl = 2\r\n");
  EXPECT_EQ(set("[a]\r\nk = 1\r\n", "b", "l", "2"), "[a]\r\nk = 1\r\n\r\n[b]\r\nl = 2\r\n");
  EXPECT_EQ(set("[a]\r\nk = 1", "a", "k", "2"), "[a]\r\nk = 2");
  EXPECT_EQ(set("[a]\r\nk = 1", "a", "l", "2"), "[a]\r\nk = 1\r\nl = 2\r\n");
  EXPECT_EQ(set("[a]\r\nk = 1\r", "a", "l", "2"), "[a]\r\nk = 1\r\nl = 2\r\n");
  EXPECT_EQ(set("[a]", "a", "l", "2"), "[a]\nl = 2\n");
  EXPECT_EQ(unset("[a]\nk = 1\n# end", "a", "k"), "[a]\n# end");
}

TEST(SettingsEdit, AListOnSeveralLinesBecomesOne) {
  EXPECT_EQ(
      set("[a]\nk = 1 # one\nl = x\nk = 2\n[b]\nk = 9\n[a]\nk = 3 # three\n", "a", "k", "4,5"),
      "[a]\nk = 4,5 # one\nl = x\n[b]\nk = 9\n[a]\n# three\n");
}

TEST(SettingsEdit, UnsetTakesAllLines) {
  const std::string content = "# top\n[a]\nk = 1 # one\n# k\n\n[b]\nk = 2\n[a]\nk = 3\n";
  EXPECT_EQ(unset(content, "a", "k"), "# top\n[a]\n# k\n\n[b]\nk = 2\n[a]\n");
  EXPECT_EQ(unset(content, "a", "l"), content);
  EXPECT_EQ(unset(content, "c", "k"), content);
  EXPECT_EQ(unset(content, "a", ""), content);
}

TEST(SettingsEdit, RefusesWhatNoFileCanHold) {
  EXPECT_EQ(set("[a]\n", "a", "k", "hunter2\n[b]"),
            "a.k cannot be in a config file: a value is one line without control characters");
  EXPECT_EQ(set("[a]\n", "a", "k", std::string("hunter2\0", 8)).find("hunter2"), std::string::npos);
  for (const char* key : {"", ".", "a.", "a b", "a=b", "a\nb", "#"}) {
    EXPECT_NE(set("[a]\n", "a", key, "x").find("cannot be in a config file"), std::string::npos);
  }
  for (const char* section : {"", "a.b", "a]", "a b"}) {
    EXPECT_NE(set("[a]\n", section, "k", "x").find("cannot be in a config file"),
              std::string::npos);
  }
  EXPECT_EQ(set("\n[a\n", "a", "k", "x"),
            "f:2: a section is written [name]: the closing ] is missing");
}

// Texts by section and key; a list has several.
using Model = std::map<std::pair<std::string, std::string>, std::vector<std::string>>;

Model model_of(const std::string& content) {
  Model model;
  auto file = parse_settings(content, "f");
  EXPECT_TRUE(file.ok()) << file.status().message() << "\n" << content;
  if (!file.ok()) return model;
  for (const auto& entry : file->entries) model[{entry.section, entry.key}].push_back(entry.text);
  return model;
}

// The lines, without their ends, but for those of one setting.
std::vector<std::string> lines_without(const std::string& content, const std::string& section,
                                       const std::string& key) {
  std::vector<std::string> lines;
  std::istringstream stream(content);
  std::string in;
  for (std::string line; std::getline(stream, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    auto meaning = scan_settings_line(line);
    if (!meaning.ok()) continue;
    if (meaning->kind == SettingsLine::Kind::kSection) in = meaning->name;
    bool is_it =
        meaning->kind == SettingsLine::Kind::kEntry && in == section && meaning->name == key;
    if (!is_it) lines.push_back(line);
  }
  return lines;
}

bool is_part_of(const std::vector<std::string>& part, const std::vector<std::string>& all) {
  size_t found = 0;
  for (const std::string& line : all) {
    if (found < part.size() && part[found] == line) ++found;
  }
  return found == part.size();
}

class RandomFile {
 public:
  explicit RandomFile(unsigned seed) : random_(seed) {}

  size_t below(size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(random_); }
  const std::string& one_of(const std::vector<std::string>& all) { return all[below(all.size())]; }
  std::string section() { return one_of({"a", "b-c", "bind", "z_9"}); }
  std::string key() { return one_of({"k", "key", "l-1", "x.y.Service", "x.y"}); }

  std::string text() {
    static const std::vector<std::string> kParts = {"a", "b", " ", "\t", "\"", "#",       "\\",
                                                    ";", "=", "[", "]",  ",",  "\xc3\xa9"};
    std::string text;
    for (size_t left = below(7); left > 0; --left) text += one_of(kParts);
    return text;
  }

  std::string content() {
    static const std::vector<std::string> kLines = {"",
                                                    "  ",
                                                    "# c",
                                                    "\t; c # d",
                                                    "#k = 1",
                                                    "[a]",
                                                    " [ b-c ] #d",
                                                    "[bind] # x",
                                                    "k = 1",
                                                    "k=\"a\"# c",
                                                    "key =",
                                                    "l-1 = # c",
                                                    " k = x\t#",
                                                    "x.y.Service = p # q"};
    std::string end = below(2) == 0 ? "\n" : "\r\n";
    std::string content = below(4) == 0 ? "\xef\xbb\xbf" : "";
    content += "# top" + end;
    size_t lines = below(20);
    if (lines > 0) content += "[" + section() + "]" + end;
    for (; lines > 0; --lines) content += one_of(kLines) + end;
    if (below(3) == 0) content.resize(content.size() - end.size());
    return content;
  }

 private:
  std::mt19937 random_;
};

TEST(SettingsEdit, WhateverIsEditedTheRestStays) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    RandomFile random(seed);
    std::string content = random.content();
    Model model = model_of(content);
    for (int i = 0; i < 25; ++i) {
      std::string section = random.section();
      std::string key = random.key();
      auto edit = SettingsEdit::open(content, "f");
      ASSERT_TRUE(edit.ok()) << edit.status().message();
      ASSERT_EQ(edit->content(), content);
      if (random.below(3) == 0) {
        EXPECT_EQ(edit->unset(section, key), model.erase({section, key}) != 0);
      } else {
        std::string text = random.text();
        Status status = edit->set(section, key, text);
        ASSERT_TRUE(status.ok()) << status.message();
        model[{section, key}] = {text};
      }
      std::string edited = edit->content();
      ASSERT_EQ(model_of(edited), model) << "seed " << seed << "\n"
                                         << content << "\n--\n"
                                         << edited;
      ASSERT_TRUE(
          is_part_of(lines_without(content, section, key), lines_without(edited, section, key)))
          << "seed " << seed << "\n"
          << content << "\n--\n"
          << edited;
      bool windows = content.find('\r') != std::string::npos;
      for (size_t at = 0; windows && (at = edited.find('\n', at)) != std::string::npos; ++at) {
        ASSERT_EQ(edited[at - 1], '\r') << "seed " << seed;
      }
      content = edited;
    }
  }
}

// ---- the store
// ------------------------------------------------------------------------------------

using Clock = std::chrono::system_clock;

void write(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

std::string read(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream content;
  content << stream.rdbuf();
  return content.str();
}

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

mode_t mode_of(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

using Names = std::set<std::string>;

class SettingsStoreTest : public ::testing::Test {
 protected:
  SettingsStoreTest() {
    // In memory if it may be: thousands of fsync() would take minutes on a busy disk.
    fs::path base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : fs::temp_directory_path();
    std::string pattern = (base / "imctl-settings-XXXXXX").string();
    top_ = mkdtemp(pattern.data());
    work_ = top_ + "/files";
    fs::create_directories(work_ + "/etc");
    fs::create_directories(work_ + "/data");
    file_ = work_ + "/etc/imctl.conf";
    history_ = work_ + "/data/host/settings";
  }
  ~SettingsStoreTest() override {
    std::error_code error;
    fs::permissions(work_ + "/etc", fs::perms::owner_all, error);
    fs::permissions(work_ + "/data", fs::perms::owner_all, error);
    fs::remove_all(top_, error);
  }

  std::unique_ptr<SettingsStore> open() {
    auto store = SettingsStore::open(file_, history_);
    EXPECT_TRUE(store.ok()) << store.status().message();
    return store.ok() ? std::move(*store) : nullptr;
  }

  static uint64_t commit(SettingsStore& store, const std::string& base, const std::string& content,
                         const std::string& why = "because") {
    auto number = store.commit(base, content, "alice", why, Clock::time_point());
    EXPECT_TRUE(number.ok()) << number.status().message();
    return number.ok() ? *number : 0;
  }

  // "N who: why" for each.
  static std::vector<std::string> shown(const SettingsStore& store) {
    std::vector<std::string> all;
    for (const SettingsChange& change : store.history()) {
      all.push_back(std::to_string(change.number) + " " + change.who + ": " + change.why);
    }
    return all;
  }

  // What holds after whatever happened in a commit from `old_content` to `new_content`, which is
  // number `number`, made "because" it is "the test". The store was opened anew.
  void expect_whole(const std::string& old_content, const std::string& new_content,
                    uint64_t number) {
    std::unique_ptr<SettingsStore> store = open();
    ASSERT_NE(store, nullptr);
    auto content = store->read();
    ASSERT_TRUE(content.ok()) << content.status().message();
    ASSERT_TRUE(*content == old_content || *content == new_content) << content->size();
    std::vector<SettingsChange> history = store->history();
    bool happened =
        !history.empty() && history.back().who == "test" && history.back().number >= number;
    EXPECT_EQ(happened, *content == new_content);
    Names names = {"index.jsonl"};
    for (const SettingsChange& change : history) {
      auto one = store->content(change.number);
      EXPECT_TRUE(one.ok()) << one.status().message();
      names.insert(std::to_string(change.number) + ".conf");
    }
    if (happened) {
      EXPECT_EQ(*store->content(history.back().number), *content);
    }
    // A commit cleans what an earlier one left.
    uint64_t last = history.empty() ? 0 : history.back().number;
    uint64_t next = commit(*store, *content, *content + "# more\n");
    EXPECT_GT(next, last);
    EXPECT_EQ(read(file_), *content + "# more\n");
    EXPECT_EQ(names_in(work_ + "/etc"), Names{"imctl.conf"});
    names.clear();
    for (const SettingsChange& change : store->history()) {
      names.insert(std::to_string(change.number) + ".conf");
    }
    names.insert("index.jsonl");
    EXPECT_EQ(names_in(history_), names);
  }

  std::string top_;
  std::string work_;
  std::string file_;
  std::string history_;
};

using Shown = std::vector<std::string>;

TEST_F(SettingsStoreTest, CommitsAndRemembers) {
  write(file_, "[a]\nk = 0\n");
  chmod(file_.c_str(), 0640);
  std::unique_ptr<SettingsStore> store = open();
  EXPECT_TRUE(store->history().empty());
  EXPECT_EQ(*store->read(), "[a]\nk = 0\n");
  EXPECT_EQ(commit(*store, "[a]\nk = 0\n", "[a]\nk = 1\n"), 2U);
  auto now = Clock::time_point(std::chrono::milliseconds(1'700'000'000'123));
  auto number = store->commit("[a]\nk = 1\n", "[a]\nk = 2\n",
                              "b\xc3\xb6"
                              "b",
                              "a \"why\"\nof <lines>", now);
  ASSERT_TRUE(number.ok()) << number.status().message();
  EXPECT_EQ(*number, 3U);
  EXPECT_EQ(read(file_), "[a]\nk = 2\n");
  EXPECT_EQ(mode_of(file_), 0640U);
  EXPECT_EQ(names_in(work_ + "/etc"), Names{"imctl.conf"});
  EXPECT_EQ(names_in(history_), (Names{"1.conf", "2.conf", "3.conf", "index.jsonl"}));
  EXPECT_EQ(mode_of(history_), 0700U);
  for (const std::string& name : names_in(history_)) {
    EXPECT_EQ(mode_of(history_ + "/" + name), 0600U) << name;
  }

  // The same for who comes later.
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(shown(*store), (Shown{"1 : as it was at first", "2 alice: because",
                                    "3 b\xc3\xb6"
                                    "b: a \"why\"\nof <lines>"}));
    SettingsChange last = store->history().back();
    EXPECT_EQ(last.time, now);
    EXPECT_EQ(last.file, file_);
    EXPECT_EQ(*store->content(1), "[a]\nk = 0\n");
    EXPECT_EQ(*store->content(3), "[a]\nk = 2\n");
    EXPECT_EQ(store->content(4).status().code(), IMCTL_NOT_FOUND);
    EXPECT_EQ(store->content(4).status().message(),
              "the history of settings has no change 4; it has 1 to 3");
    store = open();
  }
  // Back.
  EXPECT_EQ(commit(*store, "[a]\nk = 2\n", *store->content(1)), 4U);
  EXPECT_EQ(read(file_), "[a]\nk = 0\n");
}

TEST_F(SettingsStoreTest, AFileThatIsNotThereYet) {
  file_ = work_ + "/etc/deep/er/imctl.conf";
  std::unique_ptr<SettingsStore> store = open();
  EXPECT_EQ(*store->read(), "");
  EXPECT_EQ(store->content(1).status().message(),
            "the history of settings has no change 1; it is empty");
  EXPECT_EQ(commit(*store, "", "[a]\n"), 2U);
  EXPECT_EQ(read(file_), "[a]\n");
  EXPECT_EQ(mode_of(file_), 0600U);
  EXPECT_EQ(*store->content(1), "");
  EXPECT_EQ(SettingsStore::open("", history_).status().code(), IMCTL_INVALID_ARGUMENT);
}

TEST_F(SettingsStoreTest, WhatOthersChangedIsNeverLost) {
  write(file_, "[a]\n");
  std::unique_ptr<SettingsStore> store = open();
  write(file_, "[a]\n# by hand\n");
  auto number = store->commit("[a]\n", "[b]\n", "alice", "", Clock::now());
  EXPECT_EQ(number.status().code(), IMCTL_ABORTED);
  EXPECT_EQ(number.status().message(),
            "cannot change " + file_ +
                ": somebody else changed it since it was read; look at it, have it read again, and "
                "repeat");
  EXPECT_EQ(read(file_), "[a]\n# by hand\n");
  EXPECT_TRUE(store->history().empty());
  commit(*store, "[a]\n# by hand\n", "[b]\n");
  write(file_, "[c]\n");
  EXPECT_EQ(commit(*store, "[c]\n", "[d]\n"), 4U);
  EXPECT_EQ(shown(*store), (Shown{"1 : as it was at first", "2 alice: because",
                                  "3 : changed by other means", "4 alice: because"}));
  EXPECT_EQ(*store->content(3), "[c]\n");
  // It is gone.
  unlink(file_.c_str());
  EXPECT_EQ(store->commit("[d]\n", "[e]\n", "", "", Clock::now()).status().code(), IMCTL_ABORTED);
  EXPECT_EQ(commit(*store, "", "[e]\n"), 6U);
}

TEST_F(SettingsStoreTest, TheSameContentIsNoChange) {
  write(file_, "[a]\n");
  std::unique_ptr<SettingsStore> store = open();
  struct stat before {};
  stat(file_.c_str(), &before);
  EXPECT_EQ(commit(*store, "[a]\n", "[a]\n"), 1U);
  EXPECT_EQ(commit(*store, "[a]\n", "[a]\n"), 1U);
  struct stat after {};
  stat(file_.c_str(), &after);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(shown(*store), Shown{"1 : as it was at first"});
  EXPECT_EQ(shown(*open()), Shown{"1 : as it was at first"});
}

TEST_F(SettingsStoreTest, KeepsTheNewestHundred) {
  write(file_, "0");
  std::unique_ptr<SettingsStore> store = open();
  for (int i = 0; i < 105; ++i) commit(*store, std::to_string(i), std::to_string(i + 1));
  EXPECT_EQ(store->history().size(), SettingsStore::kKept);
  EXPECT_EQ(store->history().front().number, 7U);
  EXPECT_EQ(names_in(history_).size(), SettingsStore::kKept + 1);
  EXPECT_EQ(*store->content(7), "6");
  EXPECT_EQ(store->content(6).status().code(), IMCTL_NOT_FOUND);
  store = open();
  EXPECT_EQ(store->history().size(), SettingsStore::kKept);
  EXPECT_EQ(commit(*store, "105", "x"), 107U);
}

TEST_F(SettingsStoreTest, WritesThroughSymbolicLinks) {
  std::string real = work_ + "/real.conf";
  write(real, "[a]\n");
  fs::create_symlink("middle", file_);
  fs::create_symlink("../real.conf", work_ + "/etc/middle");
  std::unique_ptr<SettingsStore> store = open();
  commit(*store, "[a]\n", "[b]\n");
  EXPECT_EQ(read(real), "[b]\n");
  EXPECT_FALSE(fs::is_symlink(real));
  EXPECT_TRUE(fs::is_symlink(file_));
  EXPECT_TRUE(fs::is_symlink(work_ + "/etc/middle"));
  EXPECT_EQ(names_in(work_), (Names{"data", "etc", "real.conf"}));
  // A link to what is not there yet.
  unlink(real.c_str());
  commit(*store, "", "[c]\n");
  EXPECT_EQ(read(real), "[c]\n");
  EXPECT_TRUE(fs::is_symlink(file_));
  // A circle.
  unlink(file_.c_str());
  fs::create_symlink("imctl.conf", file_);
  EXPECT_EQ(store->commit("", "x", "", "", Clock::now()).status().code(),
            IMCTL_FAILED_PRECONDITION);
}

TEST_F(SettingsStoreTest, OnlyRegularFiles) {
  ASSERT_EQ(mkfifo(file_.c_str(), 0600), 0);
  std::unique_ptr<SettingsStore> store = open();
  auto number = store->commit("", "[a]\n", "", "", Clock::now());
  EXPECT_EQ(number.status().message(),
            "cannot change " + file_ + ": " + file_ + " is no regular file; name one that is");
  EXPECT_FALSE(store->read().ok());
  unlink(file_.c_str());
  fs::create_directory(file_);
  EXPECT_EQ(store->commit("", "[a]\n", "", "", Clock::now()).status().code(),
            IMCTL_FAILED_PRECONDITION);
}

TEST_F(SettingsStoreTest, ABrokenIndexIsToldAndALostOneLosesNoContent) {
  write(file_, "0");
  commit(*open(), "0", "1");
  std::string index = history_ + "/index.jsonl";
  std::string good = read(index);
  std::string first = good.substr(0, good.find('\n') + 1);
  for (const std::string& bad :
       {std::string("nonsense\n"), std::string("{}\n"), first, std::string("{\"number\": -1}\n"),
        std::string("\n"), std::string("{\"number\": 5, \"time\": \"yesterday\"}\n")}) {
    write(index, first + bad);
    auto store = SettingsStore::open(file_, history_);
    EXPECT_EQ(store.status().message(),
              index +
                  ":2: is no entry of a history of settings; mend the line, or move the file "
                  "away to begin a new history");
  }
  unlink(index.c_str());
  std::unique_ptr<SettingsStore> store = open();
  EXPECT_EQ(commit(*store, "1", "2"), 4U);
  store = open();
  EXPECT_EQ(names_in(history_), (Names{"1.conf", "2.conf", "3.conf", "4.conf", "index.jsonl"}));
  unlink((history_ + "/3.conf").c_str());
  EXPECT_NE(store->content(3).status().message().find("its file is gone"), std::string::npos);
}

TEST_F(SettingsStoreTest, AnyWords) {
  const std::string words = std::string("\0\x01\t\r\n\x7f", 6) +
                            "\xc2\x85 \xe2\x80\xa8\xef\xbb\xbf \xf0\x9f\x98\x80 " +
                            std::string(3000, 'x') + " \"\\/'{}[],: #%&*!|>@` - null ~";
  std::unique_ptr<SettingsStore> store = open();
  auto number = store->commit("", "[a]\n", words, words, Clock::now());
  ASSERT_TRUE(number.ok()) << number.status().message();
  number = store->commit("[a]\n", "[b]\n", "1", "null", Clock::now());
  ASSERT_TRUE(number.ok()) << number.status().message();
  store = open();
  ASSERT_EQ(store->history().size(), 3U);
  EXPECT_EQ(store->history()[1].who, words);
  EXPECT_EQ(store->history()[1].why, words);
  EXPECT_EQ(shown(*store).back(), "3 1: null");
  // A line each.
  std::string index = read(history_ + "/index.jsonl");
  EXPECT_EQ(std::count(index.begin(), index.end(), '\n'), 3);
}

TEST_F(SettingsStoreTest, WhatIsNoUtf8) {
  std::unique_ptr<SettingsStore> store = open();
  auto number = store->commit("", "\xff\n", "a\xff", "b\xff", Clock::now());
  ASSERT_TRUE(number.ok()) << number.status().message();
  store = open();
  EXPECT_EQ(shown(*store).back(), "2 a\xef\xbf\xbd: b\xef\xbf\xbd");
  EXPECT_EQ(*store->content(2), "\xff\n");
  // Such a path would be misread later.
  file_ = work_ + "/etc/\xff.conf";
  store = open();
  EXPECT_EQ(store->commit("", "1", "", "", Clock::now()).status().code(),
            IMCTL_FAILED_PRECONDITION);
  EXPECT_EQ(names_in(work_ + "/etc"), Names{"imctl.conf"});
  EXPECT_EQ(names_in(history_), (Names{"1.conf", "2.conf", "index.jsonl"}));
}

TEST_F(SettingsStoreTest, FromManyThreads) {
  write(file_, "");
  std::unique_ptr<SettingsStore> store = open();
  constexpr int kThreads = 4;
  constexpr int kEach = 8;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int done = 0; done < kEach;) {
        auto base = store->read();
        auto number = store->commit(*base, *base + "#\n", "t", "", Clock::now());
        EXPECT_TRUE(number.ok() || number.status().code() == IMCTL_ABORTED)
            << number.status().message();
        if (number.ok()) {
          ++done;
          EXPECT_TRUE(store->content(*number).ok());
        }
        EXPECT_FALSE(store->history().empty() && number.ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(read(file_).size(), 2U * kThreads * kEach);
  EXPECT_EQ(store->history().size(), 1U + kThreads * kEach);
}

// ---- failures, real ones
// --------------------------------------------------------------------------

// What `work` gives in a process of its own.
std::string in_child(const std::function<std::string()>& work) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  pid_t child = fork();
  if (child == 0) {
    std::string result = work();
    ssize_t written = ::write(ends[1], result.data(), result.size());
    _exit(written < 0 ? 1 : 0);
  }
  close(ends[1]);
  std::string result;
  char part[512];
  for (ssize_t size; (size = ::read(ends[0], part, sizeof(part))) > 0;) {
    result.append(part, static_cast<size_t>(size));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? result : result + " and ended with " + std::to_string(status);
}

constexpr uid_t kNobody = 65534;

// Root may write everywhere, so root's tests are made by nobody.
void become_nobody() {
  if (geteuid() != 0) return;
  if (setgroups(0, nullptr) != 0 || setresgid(kNobody, kNobody, kNobody) != 0 ||
      setresuid(kNobody, kNobody, kNobody) != 0) {
    _exit(2);
  }
}

void give_to_nobody(const std::string& top) {
  if (geteuid() != 0) return;
  chmod(top.c_str(), 0755);
  ASSERT_EQ(chown(top.c_str(), kNobody, kNobody), 0);
  for (const auto& entry : fs::recursive_directory_iterator(top)) {
    ASSERT_EQ(lchown(entry.path().c_str(), kNobody, kNobody), 0);
  }
}

TEST_F(SettingsStoreTest, FoldersThatCannotBeWritten) {
  write(file_, "[a]\n");
  commit(*open(), "[a]\n", "[b]\n");
  give_to_nobody(top_);
  auto attempt = [&] {
    return in_child([&] {
      become_nobody();
      auto store = SettingsStore::open(file_, history_);
      if (!store.ok()) return store.status().message();
      auto number = (*store)->commit("[b]\n", "[c]\n", "test", "", Clock::now());
      if (number.ok()) return std::string("done");
      return std::to_string(number.status().code()) + " " + number.status().message() + ", " +
             std::to_string((*store)->history().size()) + " changes";
    });
  };
  chmod((work_ + "/etc").c_str(), 0555);
  EXPECT_EQ(attempt(), "9 cannot change " + file_ + ": " + work_ +
                           "/etc/.imctl.conf.3.new cannot be written: Permission denied; may this "
                           "user write there?, 2 changes");
  EXPECT_EQ(names_in(history_), (Names{"1.conf", "2.conf", "index.jsonl"}));
  chmod((work_ + "/etc").c_str(), 0755);
  chmod(history_.c_str(), 0500);
  EXPECT_EQ(attempt(), "9 cannot change " + file_ + ": " + history_ +
                           "/3.conf cannot be written: Permission denied; may this user write "
                           "there?, 2 changes");
  EXPECT_EQ(names_in(work_ + "/etc"), Names{"imctl.conf"});
  EXPECT_EQ(read(file_), "[b]\n");
  chmod(history_.c_str(), 0700);
  chmod(file_.c_str(), 0);
  EXPECT_EQ(attempt(), "9 cannot change " + file_ + ": " + file_ +
                           " cannot be read: Permission denied; may this user write there?, 2 "
                           "changes");
  chmod(file_.c_str(), 0600);
  EXPECT_EQ(attempt(), "done");
  EXPECT_EQ(read(file_), "[c]\n");
}

TEST_F(SettingsStoreTest, KeepsTheOwnerWhereItMay) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may give files away";
  write(file_, "[a]\n");
  ASSERT_EQ(chown(file_.c_str(), 1, 2), 0);
  chmod(file_.c_str(), 0664);
  commit(*open(), "[a]\n", "[b]\n");
  struct stat info {};
  stat(file_.c_str(), &info);
  EXPECT_EQ(info.st_uid, 1U);
  EXPECT_EQ(info.st_gid, 2U);
  EXPECT_EQ(info.st_mode & 07777, 0664U);

  // Who may not must not let a group of its own in instead.
  give_to_nobody(top_);
  ASSERT_EQ(chown(file_.c_str(), 1, 2), 0);
  chmod(file_.c_str(), 0664);
  EXPECT_EQ(in_child([&] {
              become_nobody();
              auto store = SettingsStore::open(file_, history_);
              auto number = (*store)->commit("[b]\n", "[c]\n", "", "", Clock::now());
              return number.status().message();
            }),
            "");
  stat(file_.c_str(), &info);
  EXPECT_EQ(info.st_uid, kNobody);
  EXPECT_EQ(info.st_mode & 07777, 0604U);
}

TEST_F(SettingsStoreTest, NoRoom) {
  write(file_, "[a]\n");
  std::string large(100'000, '#');
  EXPECT_EQ(in_child([&] {
              struct rlimit limit {};
              getrlimit(RLIMIT_FSIZE, &limit);
              rlim_t before = limit.rlim_cur;
              limit.rlim_cur = 50'000;
              setrlimit(RLIMIT_FSIZE, &limit);
              signal(SIGXFSZ, SIG_IGN);
              auto store = SettingsStore::open(file_, history_);
              auto number = (*store)->commit("[a]\n", large, "test", "", Clock::now());
              std::string result =
                  std::to_string(number.status().code()) + " " + number.status().message();
              limit.rlim_cur = before;
              setrlimit(RLIMIT_FSIZE, &limit);
              number = (*store)->commit("[a]\n", "[b]\n", "test", "", Clock::now());
              return result + (number.ok() ? "" : number.status().message());
            }),
            "8 cannot change " + file_ + ": " + history_ +
                "/2.conf cannot be written: File too large; make room");
  EXPECT_EQ(read(file_), "[b]\n");
  EXPECT_EQ(names_in(history_), (Names{"1.conf", "2.conf", "index.jsonl"}));
  EXPECT_EQ(names_in(work_ + "/etc"), Names{"imctl.conf"});
}

TEST_F(SettingsStoreTest, KilledAtAnyTime) {
  // Long enough to be cut in the middle.
  auto content_of = [](int number) {
    return "# " + std::to_string(number) + "\n" +
           std::string(30'000, static_cast<char>('#' + number % 2)) + "\n";
  };
  write(file_, content_of(0));
  std::mt19937 random(1);
  int reached = 0;
  for (int round = 0; round < 30; ++round) {
    pid_t child = fork();
    if (child == 0) {
      auto store = SettingsStore::open(file_, history_);
      for (int number = reached; store.ok(); ++number) {
        auto done = (*store)->commit(content_of(number), content_of(number + 1), "test",
                                     std::to_string(number + 1), Clock::now());
        if (!done.ok()) break;
      }
      _exit(1);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(1000 + random() % 30'000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "a commit failed";

    std::string now = read(file_);
    int number = std::stoi(now.substr(2));
    ASSERT_GE(number, reached);
    ASSERT_EQ(now, content_of(number));
    std::unique_ptr<SettingsStore> store = open();
    std::vector<SettingsChange> history = store->history();
    if (!history.empty()) {
      EXPECT_EQ(*store->content(history.back().number), now);
      EXPECT_EQ(history.back().why, number == 0 ? "as it was at first" : std::to_string(number));
    }
    EXPECT_EQ(names_in(work_ + "/etc"), Names{"imctl.conf"});
    reached = number;
  }
  EXPECT_GT(reached, 0);
}

#ifdef __x86_64__

using Calls = std::set<unsigned long long>;

// Those that need a disk with room, and all that are about files.
const Calls kWriting = {SYS_write, SYS_fsync, SYS_rename, SYS_mkdir};
const Calls kFiles = {SYS_open,   SYS_openat, SYS_read,     SYS_write,
                      SYS_fsync,  SYS_rename, SYS_unlink,   SYS_mkdir,
                      SYS_fchmod, SYS_fchown, SYS_readlink, SYS_newfstatat,
                      SYS_stat,   SYS_lstat,  SYS_fstat,    SYS_getdents64};

// What befalls a process that makes system calls.
struct Fault {
  int kill_at = 0;  // a start or an end of one, counted from 1
  int fail_at = 0;  // one of `fail`, counted from 1
  Calls fail;
  int error = 0;          // how it fails
  bool for_good = false;  // all later ones fail too
  // At a start or an end of one, counted from 1: what somebody else does at that moment.
  int meddle_at = 0;
  std::function<void()> meddle;
};

// Runs `work` in a traced process; the fault applies between two SIGSTOPs that it raises. Gives its
// exit code, or -1 if it was killed. `struck`: whether the fault came to pass.
int run_with(const Fault& fault, const std::function<int()>& work, bool* struck) {
  *struck = false;
  pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(100);
    _exit(work());
  }
  int status = 0;
  int stops = 0;
  int calls = 0;
  int marks = 0;
  bool ends = false;  // the next stop is the end of a system call
  bool fails = false;
  while (waitpid(child, &status, __WALL) == child) {
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    if (WIFSIGNALED(status)) return -1;
    int signal = WSTOPSIG(status);
    if (signal == SIGSTOP) {
      ++marks;
      ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
      ptrace(marks == 1 ? PTRACE_SYSCALL : PTRACE_CONT, child, nullptr, nullptr);
      continue;
    }
    if (signal != (SIGTRAP | 0x80)) {
      ptrace(PTRACE_CONT, child, nullptr, signal);
      continue;
    }
    if (++stops == fault.kill_at) {
      *struck = true;
      kill(child, SIGKILL);
      continue;
    }
    if (stops == fault.meddle_at) {
      *struck = true;
      fault.meddle();
    }
    struct user_regs_struct registers {};
    ptrace(PTRACE_GETREGS, child, nullptr, &registers);
    if (!ends) {
      bool counts = fault.fail.count(registers.orig_rax) != 0 && ++calls >= fault.fail_at;
      fails = fault.fail_at != 0 && counts && (calls == fault.fail_at || fault.for_good);
      if (fails) {
        *struck = true;
        registers.orig_rax = ~0ULL;
        ptrace(PTRACE_SETREGS, child, nullptr, &registers);
      }
    } else if (fails) {
      registers.rax = static_cast<unsigned long long>(-static_cast<long long>(fault.error));
      ptrace(PTRACE_SETREGS, child, nullptr, &registers);
      fails = false;
    }
    ends = !ends;
    ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  }
  return -2;
}

class SettingsStoreFaultTest : public SettingsStoreTest {
 protected:
  static constexpr const char* kOld = "[a]\n# old\n";
  static constexpr const char* kNew = "[a]\n# new\n";

  void SetUp() override {
    bool struck = false;
    int code = run_with(
        {}, [] { return raise(SIGSTOP) + raise(SIGSTOP); }, &struck);
    if (code != 0) GTEST_SKIP() << "no process may be traced here";
  }

  // Keeps a copy of what there is, to begin each try with.
  void keep() { fs::copy(work_, top_ + "/kept", fs::copy_options::recursive); }
  void restore() {
    fs::remove_all(work_);
    fs::copy(top_ + "/kept", work_, fs::copy_options::recursive);
  }

  // A commit in a traced process. 0: done; 1: failed, and all is as it was; 2: DATA_LOSS; 3:
  // ABORTED; others: something is wrong.
  int commit_with(const Fault& fault, bool* struck) {
    return run_with(
        fault,
        [&] {
          auto store = SettingsStore::open(file_, history_);
          if (!store.ok()) return 10;
          size_t changes = (*store)->history().size();
          raise(SIGSTOP);
          auto number = (*store)->commit(kOld, kNew, "test", "because", Clock::now());
          raise(SIGSTOP);
          auto content = (*store)->read();
          if (!content.ok()) return 11;
          bool lost = number.status().code() == IMCTL_DATA_LOSS;
          if (number.ok() || lost) {
            if ((*store)->history().back().who != "test") return 12;
            if (fault.meddle_at == 0 && *content != kNew) return 12;
            return lost ? 2 : 0;
          }
          if ((*store)->history().size() != changes) return 13;
          if (number.status().code() == IMCTL_ABORTED) return 3;
          if (*content != kOld) return 13;
          if (number.status().code() != IMCTL_FAILED_PRECONDITION &&
              number.status().code() != IMCTL_RESOURCE_EXHAUSTED) {
            return 14;
          }
          return 1;
        },
        struck);
  }
};

TEST_F(SettingsStoreFaultTest, KilledAtEverySystemCall) {
  // A history that is full, so that commits also remove.
  write(file_, "0");
  {
    std::unique_ptr<SettingsStore> store = open();
    std::string base = "0";
    for (int i = 1; i < static_cast<int>(SettingsStore::kKept); ++i) {
      commit(*store, std::exchange(base, std::to_string(i)), std::to_string(i));
    }
  }
  // By hand, so that a commit makes two changes.
  write(file_, kOld);
  keep();
  int old_stays = 0;
  int tries = 0;
  for (bool struck = true; struck; ++tries) {
    ASSERT_LT(tries, 2000);
    restore();
    int code = commit_with({.kill_at = tries + 1}, &struck);
    ASSERT_EQ(code, struck ? -1 : 0);
    if (read(file_) == kOld) ++old_stays;
    expect_whole(kOld, kNew, SettingsStore::kKept + 2);
    ASSERT_FALSE(HasFailure()) << "killed at " << tries + 1;
  }
  // Both happened, often.
  EXPECT_GT(old_stays, 20);
  EXPECT_GT(tries - old_stays, 5);
}

TEST_F(SettingsStoreFaultTest, KilledWhileItSettlesAnotherKill) {
  write(file_, "0");
  commit(*open(), "0", kOld);
  keep();
  for (int first = 1, undone = 0; undone < 3; ++first) {
    restore();
    bool struck = false;
    commit_with({.kill_at = first}, &struck);
    ASSERT_TRUE(struck) << first;
    // The change is in the index, but did not happen.
    if (read(history_ + "/index.jsonl").find("imctl.conf.3.new") == std::string::npos) continue;
    ASSERT_TRUE(fs::exists(work_ + "/etc/.imctl.conf.3.new"));
    ++undone;
    fs::remove_all(top_ + "/killed");
    fs::copy(work_, top_ + "/killed", fs::copy_options::recursive);
    int tries = 0;
    for (struck = true; struck; ++tries) {
      fs::remove_all(work_);
      fs::copy(top_ + "/killed", work_, fs::copy_options::recursive);
      int code = run_with(
          {.kill_at = tries + 1},
          [&] {
            raise(SIGSTOP);
            auto store = SettingsStore::open(file_, history_);
            raise(SIGSTOP);
            return store.ok() ? 0 : 1;
          },
          &struck);
      ASSERT_EQ(code, struck ? -1 : 0);
      EXPECT_EQ(read(file_), kOld);
      expect_whole(kOld, kNew, 3);
      ASSERT_FALSE(HasFailure()) << "killed at " << first << ", then at " << tries + 1;
    }
    EXPECT_GT(tries, 10);
  }
}

TEST_F(SettingsStoreFaultTest, EverySystemCallFails) {
  write(file_, "0");
  commit(*open(), "0", "1");
  write(file_, kOld);
  keep();
  for (const Fault& kind :
       {Fault{.fail = kFiles, .error = EIO}, Fault{.fail = kWriting, .error = ENOSPC},
        Fault{.fail = kFiles, .error = EIO, .for_good = true},
        Fault{.fail = kWriting, .error = ENOSPC, .for_good = true}}) {
    std::map<int, int> codes;
    int tries = 0;
    for (bool struck = true; struck; ++tries) {
      ASSERT_LT(tries, 1000);
      restore();
      Fault fault = kind;
      fault.fail_at = tries + 1;
      int code = commit_with(fault, &struck);
      ASSERT_TRUE(code >= 0 && code <= 2)
          << "call " << tries + 1 << " with " << kind.error << ": " << code;
      ASSERT_TRUE(struck || code == 0);
      ++codes[code];
      EXPECT_EQ(read(file_), code == 1 ? kOld : kNew);
      expect_whole(kOld, kNew, 4);
      ASSERT_FALSE(HasFailure()) << "call " << tries + 1 << " with " << kind.error;
    }
    EXPECT_GT(codes[1], 10);
    EXPECT_GT(codes[2], 0);
  }
}

TEST_F(SettingsStoreFaultTest, SomebodyElseChangesTheFileMeanwhile) {
  const std::string by_hand = "[a]\n# by hand\n";
  write(file_, "0");
  commit(*open(), "0", kOld);
  keep();
  std::map<int, int> codes;
  int lost = 0;
  int tries = 0;
  for (bool struck = true; struck; ++tries) {
    restore();
    Fault fault;
    fault.meddle_at = tries + 1;
    fault.meddle = [&] { write(file_, by_hand); };
    int code = commit_with(fault, &struck);
    ASSERT_TRUE(code == 0 || code == 3) << code << " at " << tries + 1;
    if (!struck) continue;
    ++codes[code];
    std::string content = read(file_);
    if (content != by_hand) {
      EXPECT_EQ(content, kNew);
      ++lost;
    }
    if (code == 3) {
      EXPECT_EQ(content, by_hand) << tries + 1;
      EXPECT_EQ(open()->history().size(), 2U);
      EXPECT_EQ(names_in(work_ + "/etc"), Names{"imctl.conf"});
    }
  }
  EXPECT_GT(codes[3], 50);
  EXPECT_GT(codes[0], 5);
  // Between the last look and the change, which are some system calls apart.
  EXPECT_LT(lost, 10);
}

#endif  // __x86_64__

}  // namespace
}  // namespace imctl::host
