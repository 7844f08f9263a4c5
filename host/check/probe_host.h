// A host with the module that a probe is about, and what it requires of others.
#ifndef IMCTL_HOST_CHECK_PROBE_HOST_H
#define IMCTL_HOST_CHECK_PROBE_HOST_H

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "check/probes.h"
#include "check/random_message.h"
#include "testing/module_host.h"

namespace imctl::host {

class ProbeHost {
 public:
  // How long a module may take for what should be soon.
  static constexpr std::chrono::seconds kSoon{2};

  // `more`: settings beside those that the module is given.
  ProbeHost(const ProbeModule& module, ProbeSink& sink, const std::vector<std::string>& more = {});

  bool is_open() const { return open_ != nullptr; }
  const Status& status() const { return status_; }
  // That could not be opened: fails the rule that the status names, else `otherwise`.
  void tell_status(Rule otherwise);

  Host& host() { return open_->host(); }
  ModuleHost& module_host() { return *open_; }
  Instance& instance() { return *host().find_module(open_->under_test().front()); }
  // The methods that it serves.
  std::vector<MethodInfo> methods();

  // A good request of the method, or one at random.
  std::string empty_request() const { return {}; }
  std::string random_request(const MethodInfo& method, Random& random);
  bool parses(const MethodInfo& method, const std::string& request);

  // Starts a call of an administrator. `request` is also the first message of a client's stream.
  std::unique_ptr<WaitingCall> start(const MethodInfo& method, const std::string& request,
                                     std::chrono::milliseconds timeout);
  // Tells rules 18 and 19 of calls that were cancelled or ended just now. If one goes on, nothing
  // more can be done, and the probe ends.
  using Calls = std::vector<std::unique_ptr<WaitingCall>>;
  void tell_ends(const std::string& what, const Calls& calls);

  // Stops it, and tells the rules that the host found broken: `otherwise`, if it does not say
  // which. False: it did not stop well.
  bool close(Rule otherwise);
  // Did the host find a rule broken? After close().
  bool told_breach() const { return told_breach_; }

 private:
  void tell_breaches();

  ProbeSink& sink_;
  std::unique_ptr<ModuleHost> open_;
  Status status_;
  bool told_breach_ = false;
};

// Tells a message as a breach of the rule that it names, else of `otherwise`.
void tell(ProbeSink& sink, const std::string& message, Rule otherwise);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CHECK_PROBE_HOST_H
