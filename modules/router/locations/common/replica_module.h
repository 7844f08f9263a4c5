// What a module is that keeps all locations itself, in a Replica: its calls, its thread that lets
// time pass, its metrics.
#ifndef IMCTL_LOCATIONS_REPLICA_MODULE_H
#define IMCTL_LOCATIONS_REPLICA_MODULE_H

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "common/requests.h"
#include "imctl/service.h"

namespace imctl::locations {

class ReplicaModule : public Module {
 public:
  explicit ReplicaModule(const Host& host);

  void report(State& state) override;

 protected:
  // Before activate.
  void begin(const Replica::Options& options, std::string backend);
  void set_lease(Time lease) { lease_ = lease; }

  // What other instances are to be told. Called with the lock, in order.
  virtual void send(Replica::Output output) = 0;

  // Runs `f(replica, now, &out)` with the lock, and sends what comes of it.
  template <class F>
  auto with_replica(F&& f) {
    std::lock_guard lock(mutex_);
    Replica::Output out;
    struct Send {
      ReplicaModule* self;
      Replica::Output* out;
      ~Send() {
        if (!out->empty()) self->send(std::move(*out));
      }
    } send_after{this, &out};
    return f(*replica_, now_ms(), &out);
  }
  // Every 100 ms or so.
  void tick();

 private:
  Result<cluster::v1::ReportResponse> on_report(const cluster::v1::ReportRequest& request,
                                                const Context& context);
  Result<cluster::v1::FindResponse> on_find(const cluster::v1::FindRequest& request,
                                            const Context& context);
  Result<cluster::v1::ListLocationsResponse> on_list(
      const cluster::v1::ListLocationsRequest& request, const Context& context);
  Result<cluster::v1::LocationsStatusResponse> on_status(
      const cluster::v1::LocationsStatusRequest& request, const Context& context);

  std::atomic<Time> lease_ = 15000;
  std::string backend_;
  std::mutex mutex_;
  std::unique_ptr<Replica> replica_;  // guarded by mutex_
  Metric changes_;
  Metric lookups_;
  Metric known_;
  Metric peers_;
  Metric sure_;
};

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_REPLICA_MODULE_H
