// A line of an import: from columns to what it says, and what that makes of a user. No host is
// needed.
#ifndef IMCTL_USER_IMPORT_LINE_H
#define IMCTL_USER_IMPORT_LINE_H

#include <string>
#include <vector>

#include "accounts.h"

namespace imctl::user {

// The names of the columns, from the first line of a CSV file.
class ImportColumns {
 public:
  // INVALID_ARGUMENT: one is unknown, stands twice, or there is no `user`.
  Status read(const std::vector<std::string>& names);
  Result<v1::ImportLine> line(const std::vector<std::string>& fields) const;

 private:
  std::vector<std::string> names_;
};

// A checked line. Errors repeat nothing that could be secret.
struct ImportedUser {
  std::string address;
  v1::ImportLine line;
  std::string password;     // after SASLprep; empty: none
  Credentials credentials;  // ready made

  static Result<ImportedUser> check(v1::ImportLine line, const std::string& domain,
                                    const PasswordSettings& settings);

  // Puts what the line says into a user. INVALID_ARGUMENT: it does not fit.
  Status apply(const std::string& by, int64_t now, StoredUser* user) const;
  // Are the ready-made credentials those that are kept?
  bool has_same(const Credentials& kept) const;
};

// The line that makes such a user.
v1::ImportLine to_line(const StoredUser& user, const Credentials& credentials, int64_t now);

}  // namespace imctl::user

#endif  // IMCTL_USER_IMPORT_LINE_H
