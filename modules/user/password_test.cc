#include "password.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

#include "scram.h"

namespace imctl::user {
namespace {

std::string from_base64(const std::string& text) {
  std::string out(text.size(), '\0');
  size_t size = 0;
  EXPECT_EQ(sodium_base642bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), text.data(),
                              text.size(), nullptr, &size, nullptr, sodium_base64_VARIANT_ORIGINAL),
            0);
  out.resize(size);
  return out;
}

std::string to_base64(const std::string& bytes) {
  std::string out(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), sodium_base64_VARIANT_ORIGINAL);
  out.pop_back();
  return out;
}

std::string hmac(const EVP_MD* hash, const std::string& key, const std::string& text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(hash, key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out, &size);
  return {reinterpret_cast<char*>(out), size};
}

std::string digest(const EVP_MD* hash, const std::string& text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), out, &size, hash, nullptr);
  return {reinterpret_cast<char*>(out), size};
}

// The exchange of an RFC's example: a client with the password "pencil" and a server with our parts
// would agree on it.
void check_exchange(ScramHash kind, const EVP_MD* hash, const std::string& salt,
                    const std::string& auth_message, const std::string& proof,
                    const std::string& verifier) {
  const ScramParts parts = make_scram(kind, "pencil", from_base64(salt), 4096);
  EXPECT_EQ(to_base64(hmac(hash, parts.server_key, auth_message)), verifier);
  const std::string signature = hmac(hash, parts.stored_key, auth_message);
  std::string client_key = from_base64(proof);
  ASSERT_EQ(client_key.size(), signature.size());
  for (size_t i = 0; i < client_key.size(); ++i) client_key[i] ^= signature[i];
  EXPECT_EQ(digest(hash, client_key), parts.stored_key);
}

TEST(Scram, ExchangeOfRfc7677) {
  check_exchange(
      ScramHash::kSha256, EVP_sha256(), "W22ZaJ0SNY7soEsUEjb6gQ==",
      "n=user,r=rOprNGfwEbeRWgbNEkqO,"
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
      "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
      "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

TEST(Scram, ExchangeOfRfc5802) {
  check_exchange(ScramHash::kSha1, EVP_sha1(), "QSXCR+Q6sek8bf92",
                 "n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
                 "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
                 "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
                 "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ=");
}

TEST(Scram, Fits) {
  for (ScramHash hash : {ScramHash::kSha1, ScramHash::kSha256}) {
    const ScramParts parts = make_scram(hash, "pencil", "salt", 4096);
    EXPECT_TRUE(fits_scram(hash, parts, "pencil"));
    EXPECT_FALSE(fits_scram(hash, parts, "pencil "));
    EXPECT_FALSE(fits_scram(hash, parts, ""));
  }
}

TEST(Scram, ReadsParts) {
  const ScramParts parts = make_scram(ScramHash::kSha256, "pencil", "salt", 4096);
  const std::string tail =
      to_base64("salt") + "," + to_base64(parts.stored_key) + "," + to_base64(parts.server_key);
  Result<ScramParts> read = parse_scram(ScramHash::kSha256, "4096," + tail);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_TRUE(fits_scram(ScramHash::kSha256, *read, "pencil"));
  for (const std::string& text :
       {std::string(), std::string("1,2,3"), "0," + tail, "-1," + tail, "9999999," + tail,
        "4096 ," + tail, "4096," + tail + ",x",
        "4096,," + to_base64(parts.stored_key) + "," + to_base64(parts.server_key),
        "4096," + to_base64("salt") + ",AAAA,AAAA", "4096,!" + tail}) {
    Result<ScramParts> bad = parse_scram(ScramHash::kSha256, text);
    ASSERT_FALSE(bad.ok()) << text;
    EXPECT_EQ(bad.status().code(), IMCTL_INVALID_ARGUMENT);
  }
  EXPECT_FALSE(parse_scram(ScramHash::kSha1, "4096," + tail).ok());
}

PasswordSettings cheap() {
  PasswordSettings settings;
  settings.argon2_memory = 8192;
  settings.argon2_time = 1;
  settings.scram_iterations = kMinScramIterations;
  return settings;
}

class PasswordTest : public testing::Test {
 protected:
  PasswordTest() { dummy_ = *make_dummy(cheap()); }
  Fit check(const std::string& password, const Credentials& kept,
            const PasswordSettings& settings = cheap()) {
    return check_password(password, kept, dummy_, settings);
  }
  std::string dummy_;
};

TEST_F(PasswordTest, WhatIsMadeFits) {
  for (int kinds = 1; kinds < 8; ++kinds) {
    PasswordSettings settings = cheap();
    settings.argon2id = (kinds & 1) != 0;
    settings.scram_sha_256 = (kinds & 2) != 0;
    settings.scram_sha_1 = (kinds & 4) != 0;
    Result<Credentials> made = make_credentials("pencil", settings);
    ASSERT_TRUE(made.ok());
    EXPECT_EQ(!made->argon2id.empty(), settings.argon2id);
    EXPECT_EQ(made->scram_sha_256.has_value(), settings.scram_sha_256);
    EXPECT_EQ(made->scram_sha_1.has_value(), settings.scram_sha_1);
    EXPECT_EQ(check("pencil", *made, settings), Fit::kYes) << kinds;
    EXPECT_EQ(check("Pencil", *made, settings), Fit::kNo) << kinds;
  }
}

TEST_F(PasswordTest, NothingKeptFitsNothing) {
  for (const char* text : {"", "pencil"}) EXPECT_EQ(check(text, Credentials()), Fit::kNo);
}

TEST_F(PasswordTest, IsOutdatedWhenTheSettingsRise) {
  const Credentials kept = *make_credentials("pencil", cheap());
  PasswordSettings settings = cheap();
  settings.argon2_memory = 16384;
  EXPECT_EQ(check("pencil", kept, settings), Fit::kOutdated);
  EXPECT_EQ(check("wrong", kept, settings), Fit::kNo);
  const Credentials better = *make_credentials("pencil", settings);
  EXPECT_EQ(check("pencil", better, settings), Fit::kYes);
  EXPECT_EQ(check("pencil", better, cheap()), Fit::kYes);  // not when they fall
  settings = cheap();
  settings.argon2_time = 2;
  EXPECT_EQ(check("pencil", kept, settings), Fit::kOutdated);
  settings = cheap();
  settings.scram_iterations += 1;
  EXPECT_EQ(check("pencil", kept, settings), Fit::kOutdated);
  settings = cheap();
  settings.scram_sha_1 = true;
  EXPECT_EQ(check("pencil", kept, settings), Fit::kOutdated);
}

TEST_F(PasswordTest, OnlyScramPartsFitToo) {
  Credentials kept;
  kept.scram_sha_1 = make_scram(ScramHash::kSha1, "pencil", "salt", 4096);
  EXPECT_EQ(check("pencil", kept), Fit::kOutdated);
  EXPECT_EQ(check("wrong", kept), Fit::kNo);
}

TEST(Password, IsPrepared) {
  EXPECT_EQ(*prepare_password("pencil"), "pencil");
  EXPECT_EQ(*prepare_password("I\u00ADX"), "IX");  // RFC 4013, section 3
  EXPECT_EQ(*prepare_password("\u2168"), "IX");
  EXPECT_EQ(*prepare_password("USER"), "USER");
  EXPECT_FALSE(prepare_password("\x07").ok());
  EXPECT_FALSE(prepare_password("\u0627\u0031").ok());
  EXPECT_FALSE(prepare_password("\xFF").ok());
  EXPECT_FALSE(prepare_password(std::string_view("a\0b", 3)).ok());
  EXPECT_TRUE(prepare_password("\U0001FAE0\U0001FAE0\U0001FAE0").ok());  // newer than the profile
  EXPECT_TRUE(prepare_password(std::string(1024, 'x')).ok());
  EXPECT_FALSE(prepare_password(std::string(1025, 'x')).ok());
}

TEST(Password, ANewOneHasItsLengthInCharacters) {
  PasswordSettings settings = cheap();
  settings.min_length = 4;
  EXPECT_FALSE(prepare_new_password("\u00E4\u00E4\u00E4", settings).ok());
  EXPECT_TRUE(prepare_new_password("\u00E4\u00E4\u00E4\u00E4", settings).ok());
}

TEST(Password, ErrorsDoNotRepeatIt) {
  PasswordSettings settings = cheap();
  settings.min_length = 100;
  for (const std::string& text :
       {std::string("hush\x07"), std::string("hush"), "hush" + std::string(2000, 'x')}) {
    EXPECT_EQ(prepare_new_password(text, settings).status().message().find("hush"),
              std::string::npos);
  }
  EXPECT_EQ(check_argon2id("hush").message().find("hush"), std::string::npos);
  EXPECT_EQ(parse_scram(ScramHash::kSha256, "hush").status().message().find("hush"),
            std::string::npos);
}

TEST(Password, ReadyMadeHashes) {
  EXPECT_TRUE(check_argon2id(make_credentials("pencil", cheap())->argon2id).ok());
  for (const char* text :
       {"", "x", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQxMjM$c29tZWhhc2gxMjM0NTY",
        "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQxMjM$", "$argon2id$v=19$m=8,t=1,p=1$$x",
        "$argon2id$v=19$m=0,t=1,p=1$c29tZXNhbHQxMjM$c29tZWhhc2gxMjM0NTY",
        "$argon2id$v=19$m=99999999999999,t=1,p=1$c29tZXNhbHQxMjM$c29tZWhhc2gxMjM0NTY",
        "$argon2id$v=19$m=8,t=21,p=1$c29tZXNhbHQxMjM$c29tZWhhc2gxMjM0NTY",
        "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQxMjM$c29tZWhhc2gxMjM0NTY\n"}) {
    EXPECT_FALSE(check_argon2id(text).ok()) << text;
  }
}

}  // namespace
}  // namespace imctl::user
