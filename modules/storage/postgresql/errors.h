// What goes wrong at the PostgreSQL server, and what it means to a caller.
#ifndef IMCTL_STORAGE_POSTGRESQL_ERRORS_H
#define IMCTL_STORAGE_POSTGRESQL_ERRORS_H

#include <stdexcept>
#include <string>
#include <string_view>

#include "imctl/status.h"

namespace imctl::storage {

// Thrown within the back end; its engine makes a Status of it.
class Error : public std::runtime_error {
 public:
  // `state` is the SQLSTATE; empty: the connection is lost.
  Error(std::string state, const std::string& message)
      : std::runtime_error(message), state_(std::move(state)) {}

  const std::string& state() const { return state_; }
  bool is(std::string_view state) const { return state_ == state; }
  // The connection is of no use any more.
  bool lost() const;
  // The same transaction may well succeed if it is run again.
  bool passing() const;

 private:
  std::string state_;
};

// An outcome that is known as a Status already.
class Refused : public std::runtime_error {
 public:
  explicit Refused(Status status)
      : std::runtime_error(status.message()), status_(std::move(status)) {}
  const Status& status() const { return status_; }

 private:
  Status status_;
};

// SQLSTATEs that are looked for.
inline constexpr std::string_view kUniqueViolation = "23505";
inline constexpr std::string_view kUndefinedTable = "42P01";
inline constexpr std::string_view kLockNotAvailable = "55P03";
inline constexpr std::string_view kReadOnly = "25006";
// Ours: what is there is being replaced by a load, or one begins just now (schema.cc).
inline constexpr std::string_view kReplacing = "IM002";
// Ours: a load is under way, or did not come to its end (schema.cc).
inline constexpr std::string_view kLoading = "IM001";

// Ours: all was moved elsewhere; the message says where (schema.cc).
inline constexpr std::string_view kMoved = "IM003";

// `server` is how errors call it: "the database ... at ...".
Status to_status(const Error& error, const std::string& server);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_ERRORS_H
