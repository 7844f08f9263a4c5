#include "address.h"

#include <gtest/gtest.h>

#include "text.h"

namespace imctl::user {
namespace {

std::string address(std::string_view text) {
  Result<std::string> made = normalise_address(text, "example.org");
  return made.ok() ? *made : "refused: " + made.status().message();
}

bool refused(std::string_view text) {
  Result<std::string> made = normalise_address(text, "example.org");
  return !made.ok() && made.status().code() == IMCTL_INVALID_ARGUMENT;
}

TEST(Address, HasOneForm) {
  EXPECT_EQ(address("ann"), "ann@example.org");
  EXPECT_EQ(address("ANN@Example.ORG."), "ann@example.org");
  EXPECT_EQ(address("stra\u00DFe"), "strasse@example.org");
  EXPECT_EQ(address("\uFF21nn"), "ann@example.org");        // full width
  EXPECT_EQ(address("a\u0308nn"), "\u00E4nn@example.org");  // composed
  EXPECT_EQ(address("a\u00ADnn"), "ann@example.org");       // a soft hyphen
  EXPECT_EQ(address("x@xn--bcher-kva.example"), "x@b\u00FCcher.example");
  EXPECT_EQ(address("x@B\u00DCCHER.example"), "x@b\u00FCcher.example");
}

TEST(Address, TheFormOfAFormIsThatForm) {
  for (const char* text :
       {"ANN", "\u00DF@B\u00DCCHER.example", "\u03A3\u03AF\u03C3\u03C5\u03C6\u03BF\u03C2",
        "\u0130stanbul", "\uFB01sh@\u4F8B\u3048.example"}) {
    const std::string once = address(text);
    EXPECT_EQ(address(once), once);
    EXPECT_EQ(once.find("refused"), std::string::npos) << once;
  }
}

TEST(Address, RefusesWhatIsNone) {
  for (std::string_view text :
       {"",       "@example.org", "ann@",  "ann@.",    "a b",         "a\tb",
        "a\x7F",  "a\nb",         "a/b",   "a:b",      "a<b",         "a\"b",
        "a&b",    "a'b",          "a@b@c", "a@b c",    "a@b..c",      "a@-b",
        "a@b-",   "a@b_c",        "a@b/c", "a@\uFF20", "a\u200Eb",    "a\u202Eb",
        "\u0378", "\u1E9E",       "\xFF",  "a\xC3",    "\xED\xA0\x80"}) {
    EXPECT_TRUE(refused(text)) << quoted(text) << address(text);
  }
  EXPECT_TRUE(refused(std::string_view("a\0b", 3)));
  EXPECT_TRUE(refused(std::string_view("a@b\0c", 5)));
  // Left to right and right to left in one.
  EXPECT_TRUE(refused("a\u05D0"));
}

TEST(Address, IsNotTooLong) {
  EXPECT_EQ(address(std::string(255, 'a')), std::string(255, 'a') + "@example.org");
  EXPECT_TRUE(refused(std::string(256, 'a')));
  EXPECT_TRUE(refused("a@" + std::string(256, 'b')));
  EXPECT_TRUE(refused(std::string(size_t{1} << 20U, 'a')));
  // It may be short and long in its form.
  std::string ligatures;
  for (int i = 0; i < 85; ++i) ligatures += "\uFDFA";  // 3 bytes that become 33
  EXPECT_TRUE(refused(ligatures));
}

TEST(Address, ErrorsHaveNoControlCharacters) {
  const std::string said = address("a\x1B[31mb");
  EXPECT_EQ(said.find('\x1B'), std::string::npos) << said;
}

TEST(Address, Prefixes) {
  EXPECT_EQ(normalise_prefix("An"), "an");
  EXPECT_EQ(normalise_prefix("An@exa"), "an@exa");
  EXPECT_EQ(normalise_prefix(""), "");
}

TEST(Text, Names) {
  EXPECT_TRUE(check_name("roles", "a.b-c_D9", 64).ok());
  for (const char* text : {"", "a b", "a/b", "\u00E4"})
    EXPECT_FALSE(check_name("roles", text, 64).ok());
  EXPECT_FALSE(check_name("roles", std::string(65, 'a'), 64).ok());
}

TEST(Text, Scopes) {
  for (const char* text : {"*", "a.b.C/D", "a.*", "imctl.storage.v1.Mailboxes/*"}) {
    EXPECT_TRUE(check_scope(text).ok()) << text;
  }
  for (const char* text : {"", "a b", "a\n", "a;b"}) EXPECT_FALSE(check_scope(text).ok()) << text;
}

}  // namespace
}  // namespace imctl::user
