// The way to a host and what it offers, for one command line or for many.
#ifndef IMCTL_HOST_CLI_SESSION_H
#define IMCTL_HOST_CLI_SESSION_H

#include <functional>
#include <memory>
#include <string>

#include "cli/catalog.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/transport.h"

namespace imctl::host::cli {

// Gives the way to the host that the flags name.
using OpenTransport = std::function<Result<std::unique_ptr<Transport>>(const Flags&)>;

class Session {
 public:
  explicit Session(OpenTransport open) : open_(std::move(open)) {}

  // Opens the way to the host alone; does nothing if that is done.
  Status open(const Flags& flags);
  // The same, and gets the catalog; does nothing if that is done.
  Status connect(const Flags& flags);
  // For help and completion: an older catalog is better than none.
  Status connect_or_remember(const Flags& flags);
  // An embedded host stops here. The catalog stays: the program is about to end, which is quicker.
  void close();

  // After connect().
  Transport& transport() { return *transport_; }
  InterruptWatch& interrupt() { return *interrupt_; }
  // nullptr: there is none.
  Catalog* catalog() { return catalog_.get(); }

  bool interrupted() const { return interrupt_ != nullptr && interrupt_->interrupted(); }

  // The id that the host knows the last call by; empty if none got to it.
  std::string call_id() const { return transport_ == nullptr ? "" : transport_->call_id(); }

 private:
  OpenTransport open_;
  std::unique_ptr<InterruptWatch> interrupt_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Catalog> catalog_;
};

// 128 random bits, as hexadecimal digits.
std::string new_call_id();

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_SESSION_H
