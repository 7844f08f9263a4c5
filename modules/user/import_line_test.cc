#include "import_line.h"

#include <gtest/gtest.h>

#include "csv.h"

namespace imctl::user {
namespace {

using Outcome = CsvReader::Outcome;
using Fields = std::vector<std::string>;

Fields read(std::initializer_list<std::string_view> lines) {
  CsvReader csv;
  Outcome outcome = Outcome::kMore;
  for (std::string_view line : lines) {
    EXPECT_EQ(outcome, Outcome::kMore);
    outcome = csv.take(line);
  }
  EXPECT_EQ(outcome, Outcome::kRecord) << csv.error();
  return csv.fields();
}

TEST(Csv, Fields) {
  EXPECT_EQ(read({"a,b,c"}), (Fields{"a", "b", "c"}));
  EXPECT_EQ(read({""}), (Fields{""}));
  EXPECT_EQ(read({",,"}), (Fields{"", "", ""}));
  EXPECT_EQ(read({"a,b\r"}), (Fields{"a", "b"}));
  EXPECT_EQ(read({"\"a,b\",\"c\"\"d\",\"\""}), (Fields{"a,b", "c\"d", ""}));
  EXPECT_EQ(read({"\"a\",\"b\"\r"}), (Fields{"a", "b"}));
  EXPECT_EQ(read({"\"two", "lines\",x"}), (Fields{"two\nlines", "x"}));
  EXPECT_EQ(read({"\"a", "", "b\""}), (Fields{"a\n\nb"}));
}

TEST(Csv, BadRecordsAreOverAtTheirEnd) {
  CsvReader csv;
  for (const char* line : {"a\"b", "\"a\"b", "a,\"b\" ,c"}) {
    EXPECT_EQ(csv.take(line), Outcome::kBad) << line;
    EXPECT_FALSE(csv.error().empty());
    EXPECT_EQ(csv.take("a,b"), Outcome::kRecord);
    EXPECT_EQ(csv.fields(), (Fields{"a", "b"}));
  }
}

TEST(Csv, AQuoteThatStaysOpenTakesNoMoreThanARecord) {
  CsvReader csv;
  EXPECT_EQ(csv.take("a,\"b"), Outcome::kMore);
  const std::string line(1000, 'x');
  int lines = 0;
  while (csv.take(line) == Outcome::kMore) ASSERT_LT(++lines, 100);
  EXPECT_EQ(csv.take("a,b"), Outcome::kRecord);
}

TEST(ImportColumns, NamesThatThereAre) {
  ImportColumns columns;
  EXPECT_TRUE(columns.read({"\xEF\xBB\xBFuser", "roles", "attributes.team"}).ok());
  EXPECT_FALSE(columns.read({"display_name"}).ok());
  EXPECT_FALSE(columns.read({"user", "user"}).ok());
  EXPECT_FALSE(columns.read({"user", "other"}).ok());
  EXPECT_FALSE(columns.read({"user", "attributes."}).ok());
}

Result<ImportedUser> line(const Fields& names, const Fields& fields) {
  ImportColumns columns;
  EXPECT_TRUE(columns.read(names).ok());
  Result<v1::ImportLine> read = columns.line(fields);
  if (!read.ok()) return read.status();
  return ImportedUser::check(std::move(*read), "example.org", PasswordSettings());
}

TEST(ImportedUser, SaysWhatItSays) {
  Result<ImportedUser> user =
      line({"user", "display_name", "roles", "attributes.a", "state", "reason"},
           {"Ann", "A", " x  y x ", "", "disabled", "left"});
  ASSERT_TRUE(user.ok()) << user.status().message();
  EXPECT_EQ(user->address, "ann@example.org");
  StoredUser stored;
  (*stored.mutable_attributes())["a"] = "kept";
  ASSERT_TRUE(user->apply("by", 7, &stored).ok());
  EXPECT_EQ(stored.display_name(), "A");
  EXPECT_EQ(stored.roles_size(), 2);
  EXPECT_EQ(stored.attributes().at("a"), "kept");  // an empty column says nothing
  EXPECT_TRUE(is_disabled(stored, 8));
  EXPECT_EQ(stored.disabled_reason(), "left");
  StoredUser again = stored;
  ASSERT_TRUE(user->apply("other", 9, &again).ok());
  EXPECT_TRUE(same(stored, again));
}

TEST(ImportedUser, RefusesAndRepeatsNoSecret) {
  for (const auto& [names, fields] : std::vector<std::pair<Fields, Fields>>{
           {{"user"}, {""}},
           {{"user"}, {"a", "b"}},
           {{"user", "state"}, {"a", "gone"}},
           {{"user", "password"}, {"a", "hush"}},
           {{"user", "password", "argon2id"}, {"a", "hush-hush", "x"}},
           {{"user", "argon2id"}, {"a", "hush-hush"}},
           {{"user", "scram_sha_256"}, {"a", "hush-hush"}},
           {{"user", "attributes.a"}, {"a", std::string(1025, 'x')}}}) {
    Result<ImportedUser> user = line(names, fields);
    ASSERT_FALSE(user.ok());
    EXPECT_EQ(user.status().message().find("hush"), std::string::npos);
  }
}

TEST(StoredUser, ADisableEnds) {
  StoredUser user;
  EXPECT_FALSE(is_disabled(user, 10));
  user.set_disabled(true);
  EXPECT_TRUE(is_disabled(user, 10));
  user.set_disabled_until(10);
  EXPECT_TRUE(is_disabled(user, 9));
  EXPECT_FALSE(is_disabled(user, 10));
  enable(&user);
  EXPECT_TRUE(same(user, StoredUser()));
}

TEST(StoredUser, IndexesAreWhatListsLookFor) {
  StoredUser user;
  user.set_address("a@b");
  (*user.mutable_attributes())["team"] = "blue";
  storage::v1::PutRecordRequest put;
  fill_put(user, &put);
  ASSERT_EQ(put.indexes_size(), 1);
  EXPECT_EQ(put.indexes(0).name() + "=" + put.indexes(0).value(), "a.team=blue");
  user.set_disabled(true);
  user.set_disabled_until(100);
  put.Clear();
  fill_put(user, &put);
  EXPECT_EQ(put.indexes_size(), 3);
  EXPECT_LT(sortable(99), sortable(100));
  EXPECT_LT(sortable(100), sortable(1000));
}

}  // namespace
}  // namespace imctl::user
