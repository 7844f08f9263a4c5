#include "token_text.h"

#include <gtest/gtest.h>

#include <set>

namespace imctl::user {
namespace {

TEST(TokenText, ReadsWhatItMakes) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const TokenText made = TokenText::make();
    EXPECT_TRUE(seen.insert(made.id).second);
    EXPECT_TRUE(seen.insert(made.secret).second);
    EXPECT_EQ(made.secret.size(), 64U);  // 256 bits
    EXPECT_TRUE(is_token_id(made.id));
    const auto read = TokenText::parse(made.text());
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->id, made.id);
    EXPECT_EQ(read->secret, made.secret);
  }
}

TEST(TokenText, RefusesWhatIsNone) {
  const std::string good = TokenText::make().text();
  EXPECT_FALSE(TokenText::parse("").has_value());
  EXPECT_FALSE(TokenText::parse(std::string(size_t{1} << 20U, 'a')).has_value());
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = 'X';
    EXPECT_FALSE(TokenText::parse(bad).has_value()) << bad;
    EXPECT_FALSE(TokenText::parse(good.substr(0, i)).has_value());
  }
  EXPECT_FALSE(TokenText::parse(good + "0").has_value());
}

TEST(TokenText, HashesCompare) {
  const std::string hash = token_hash("a");
  EXPECT_EQ(hash.size(), 32U);
  EXPECT_TRUE(same_hash(hash, token_hash("a")));
  EXPECT_FALSE(same_hash(hash, token_hash("b")));
  EXPECT_FALSE(same_hash("", ""));
  EXPECT_FALSE(same_hash(hash, hash.substr(1)));
}

}  // namespace
}  // namespace imctl::user
