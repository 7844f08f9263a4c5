// The one road: every call, whoever makes it, passes here on its way to the module that serves it.
#ifndef IMCTL_HOST_ROAD_DISPATCHER_H
#define IMCTL_HOST_ROAD_DISPATCHER_H

#include <memory>

#include "imctl/status.h"

namespace imctl::host {

class Call;
class Identity;
class Road;
struct Grant;
struct MethodInfo;

class Dispatcher {
 public:
  explicit Dispatcher(Road* road) : road_(road) {}

  // Starts `call` or refuses it; the caller is told all by its events. Once a call.
  void start(Call& call);
  // The same for a call that waited.
  void resume(Call& call);
  // The same for one that waited until it was known whose it is.
  void resume(Call& call, std::shared_ptr<const Grant> grant, std::shared_ptr<Identity> identity);
  // Refuses a call that waited.
  void refuse(Call& call, Status status);
  // May a user have an open stream whose roles or token are now as `grant` says?
  static Status check_again(const Call& call, const Grant& grant);

 private:
  // The filters, in order. Each says why not, or OK.
  Status check_bounds(const Call& call) const;
  static Status check_dry_run(const Call& call, const MethodInfo& method);
  Status check_access(Call& call, const MethodInfo& method) const;
  static Status check_grant(const Grant& grant, const MethodInfo& method);
  void audit(const Call& call, const Status& status) const;
  void admit(Call& call);

  Road* const road_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_DISPATCHER_H
