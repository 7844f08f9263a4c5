#include "address.h"

#include <idn2.h>
#include <stringprep.h>

#include <cstdlib>
#include <memory>

#include "text.h"

namespace imctl::user {
namespace {

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using CString = std::unique_ptr<char, Free>;

Status bad(const std::string& what) { return {IMCTL_INVALID_ARGUMENT, what}; }

bool is_host_name(std::string_view ascii) {
  char before = '.';
  for (char c : ascii) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!letter && c != '-' && c != '.') return false;
    // No label is empty, or begins or ends with a hyphen.
    if (!letter && before == '.') return false;
    if (c == '.' && before == '-') return false;
    before = c;
  }
  return before != '.' && before != '-';
}

Result<std::string> normalise_user_part(std::string_view text) {
  if (text.empty()) return bad("user: the part before the @ is empty: write user@domain");
  if (text.size() > kMaxUserPart) {
    return bad("user: the part before the @ has " + std::to_string(text.size()) +
               " bytes; it may have " + std::to_string(kMaxUserPart));
  }
  if (Status status = check_text("user", text, kMaxUserPart); !status.ok()) return status;
  char* out = nullptr;
  // Characters that are newer than the profile have no one form there.
  int code =
      stringprep_profile(std::string(text).c_str(), &out, "Nodeprep", STRINGPREP_NO_UNASSIGNED);
  CString held(out);
  if (code != STRINGPREP_OK) {
    return bad("user: " + quoted(text) + " is no name of a user: " +
               (code == STRINGPREP_CONTAINS_PROHIBITED
                    ? "blanks and the characters \" & ' / : < > @ may not be in it"
                : code == STRINGPREP_CONTAINS_UNASSIGNED
                    ? "it has characters that names of users may not have"
                    : std::string(stringprep_strerror(static_cast<Stringprep_rc>(code)))));
  }
  std::string name(out);
  if (name.empty()) return bad("user: " + quoted(text) + " is empty in its normal form");
  if (name.size() > kMaxUserPart) {
    return bad("user: the part before the @ has " + std::to_string(name.size()) +
               " bytes in its normal form; it may have " + std::to_string(kMaxUserPart));
  }
  return name;
}

}  // namespace

Result<std::string> normalise_domain(std::string_view text) {
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  if (text.empty()) return bad("user: the domain is empty: write user@domain");
  if (text.size() > kMaxDomain) {
    return bad("user: the domain has " + std::to_string(text.size()) + " bytes; it may have " +
               std::to_string(kMaxDomain));
  }
  if (Status status = check_text("user", text, kMaxDomain); !status.ok()) return status;
  char* ascii = nullptr;
  int code =
      idn2_to_ascii_8z(std::string(text).c_str(), &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  CString held_ascii(ascii);
  if (code != IDN2_OK)
    return bad("user: " + quoted(text) + " is no domain: " + idn2_strerror(code));
  // With IDN2_USE_STD3_ASCII_RULES the library leaves other characters out, and says nothing.
  if (!is_host_name(ascii)) {
    return bad("user: " + quoted(text) +
               " is no domain: it is made of letters, digits, '-' and '.'");
  }
  char* out = nullptr;
  code = idn2_to_unicode_8z8z(ascii, &out, 0);
  CString held(out);
  if (code != IDN2_OK)
    return bad("user: " + quoted(text) + " is no domain: " + idn2_strerror(code));
  std::string domain(out);
  if (domain.size() > kMaxDomain) return bad("user: the domain is too long in its normal form");
  return domain;
}

Result<std::string> normalise_address(std::string_view text, std::string_view default_domain) {
  if (text.empty()) return bad("user: it is empty: name one, user@domain");
  // Before anything looks at all of it.
  if (text.size() > kMaxUserPart + 1 + kMaxDomain) {
    return bad("user: an address of " + std::to_string(text.size()) + " bytes is too long: up to " +
               std::to_string(kMaxUserPart) + " before the @ and " + std::to_string(kMaxDomain) +
               " behind it");
  }
  const size_t at = text.find('@');
  Result<std::string> name = normalise_user_part(text.substr(0, at));
  if (!name.ok()) return name;
  if (at == std::string_view::npos) return *name + "@" + std::string(default_domain);
  Result<std::string> domain = normalise_domain(text.substr(at + 1));
  if (!domain.ok()) return domain;
  return *name + "@" + *domain;
}

std::string normalise_prefix(std::string_view text) {
  const size_t at = text.find('@');
  Result<std::string> name = normalise_user_part(text.substr(0, at));
  if (!name.ok()) return std::string(text);
  if (at == std::string_view::npos) return *name;
  return *name + std::string(text.substr(at));
}

}  // namespace imctl::user
