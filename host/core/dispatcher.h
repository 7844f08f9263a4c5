// The one road: every call, whoever makes it, passes here on its way to the module that serves it.
#ifndef IMCTL_HOST_CORE_DISPATCHER_H
#define IMCTL_HOST_CORE_DISPATCHER_H

#include "core/call.h"
#include "core/method_table.h"
#include "imctl/status.h"

namespace imctl::host {

class Host;
class Instance;

class Dispatcher {
 public:
  explicit Dispatcher(Host* host) : host_(host) {}

  // Starts `call` or refuses it; the caller is told all by its events. Once a call.
  void start(Call& call);

 private:
  // The filters, in order. Each says why not, or OK.
  Status check_bounds(const Call& call) const;
  static Status check_dry_run(const Call& call, const MethodInfo& method);
  Status check_access(const Call& call, const MethodInfo& method) const;

  Host* const host_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_DISPATCHER_H
