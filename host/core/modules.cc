#include "core/modules.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/catalog_view.h"
#include "core/host.h"

namespace imctl::host {
namespace {

// Of the module that `description` names.
template <class List>
auto find_in(List& list, const std::string& name) {
  return std::find_if(list.begin(), list.end(),
                      [&](const auto& instance) { return instance->name() == name; });
}

// Of "/package.Service/Method@MODULE": the handler of that module.
std::shared_ptr<const Route> find_route(const Modules::List& modules, const MethodSlot& method) {
  auto module = find_in(modules, std::string(method.address()));
  if (module == modules.end()) return nullptr;
  const std::string name = method.name().substr(0, method.name().find('@'));
  const std::vector<Served>& all = (*module)->served();
  auto served = std::find_if(all.begin(), all.end(),
                             [&](const Served& one) { return one.info.name == name; });
  if (served == all.end()) return nullptr;
  return std::make_shared<const Route>(Route{*module, &*served});
}

}  // namespace

// What an apply is about to do, and has done.
struct Modules::Change {
  struct Step {
    std::shared_ptr<Instance> old;  // to be replaced; nullptr: started
    std::shared_ptr<Instance> fresh;
  };
  List gone;                // in the order of start
  std::vector<Step> steps;  // in the order of start
  std::vector<std::string> order;
  std::vector<SwapReport> reports;

  // For undoing.
  size_t stopped = 0;  // of `gone`, from the end
  size_t done = 0;     // of `steps`
};

Result<std::vector<SwapReport>> Modules::apply(const Plan& plan, const std::set<std::string>& only,
                                               const std::set<std::string>& again) {
  std::lock_guard lock(change_mutex_);
  if (stopped_) return Status(IMCTL_UNAVAILABLE, "the host is stopping");
  auto touched = [&](const std::string& name) { return only.empty() || only.count(name) != 0; };
  Change change;
  for (const std::shared_ptr<Instance>& instance : modules_) {
    if (plan.find(instance->name()) == nullptr && touched(instance->name())) {
      change.gone.push_back(instance);
    }
  }
  Status status;
  for (const std::shared_ptr<const Description>& wanted : plan.modules) {
    change.order.push_back(wanted->name());
    auto running = find_in(modules_, wanted->name());
    bool runs = running != modules_.end();
    if (!touched(wanted->name())) continue;
    if (runs && again.count(wanted->name()) == 0 && (*running)->settings()->same_as(*wanted)) {
      continue;
    }
    Change::Step step{runs ? *running : nullptr, nullptr};
    status = create(wanted, &step.fresh);
    if (!status.ok()) break;
    change.steps.push_back(std::move(step));
  }
  std::map<std::string, std::string> providers = std::exchange(providers_, plan.providers);
  std::vector<OffModule> off = std::exchange(off_, plan.off);
  if (status.ok()) status = carry_out(change);
  if (status.ok()) {
    publish();
    return std::move(change.reports);
  }
  providers_ = std::move(providers);
  off_ = std::move(off);
  for (Change::Step& step : change.steps) {
    if (find_in(modules_, step.fresh->name()) == modules_.end() ||
        *find_in(modules_, step.fresh->name()) != step.fresh) {
      retire(step.fresh);
    }
  }
  publish();
  return status;
}

ModuleSettings Modules::settings_of(const Description& description) const {
  return {description.config, host_->config().data + "/" + description.name(),
          host_->config().domain};
}

Status Modules::probe(const std::shared_ptr<const Description>& description) {
  std::shared_ptr<Instance> instance;
  Status status = create(description, &instance);
  if (status.ok()) retire(instance);
  return status;
}

Result<ModuleCode::State> Modules::report(Instance& instance) {
  std::unique_lock lock(change_mutex_, std::try_to_lock);
  if (!lock.owns_lock() || stopped_) {
    return Status(IMCTL_UNAVAILABLE, "not now: modules are being changed or stopped");
  }
  if (instance.state() != InstanceState::kActive) return ModuleCode::State();
  return instance.report();
}

Status Modules::apply_settings(Instance& instance, std::shared_ptr<const Description> description) {
  // Not beside a step of its life.
  std::lock_guard lock(change_mutex_);
  if (stopped_) return {IMCTL_UNAVAILABLE, "the host is stopping"};
  if (instance.state() != InstanceState::kActive) {
    return {IMCTL_UNIMPLEMENTED, "module " + instance.name() + " does not work"};
  }
  Status status = instance.apply(settings_of(*description));
  if (status.ok()) instance.set_settings(std::move(description));
  return status;
}

Status Modules::create(const std::shared_ptr<const Description>& description,
                       std::shared_ptr<Instance>* made) {
  Result<InstanceSpec> spec = spec_of(description);
  if (!spec.ok()) return spec.status();
  Result<std::unique_ptr<ModuleCode>> code = make_code_(description);
  if (!code.ok()) return code.status();
  auto instance = std::make_shared<Instance>(host_, std::move(*spec), std::move(*code));
  ModuleSettings settings = settings_of(*description);
  if (description->remote.empty()) {
    std::error_code error;
    std::filesystem::create_directories(settings.data_dir, error);
    if (error) return {IMCTL_FAILED_PRECONDITION, settings.data_dir + ": " + error.message()};
  }
  Status status = instance->create();
  if (status.ok()) status = instance->prepare(settings);
  if (!status.ok()) {
    retire(instance);
    return status;
  }
  *made = std::move(instance);
  return {};
}

Status Modules::carry_out(Change& change) {
  auto until = std::chrono::steady_clock::now() + host_->live().swap_timeout;
  Status status;
  for (size_t i = change.gone.size(); i-- > 0 && status.ok();) {
    status = stop(change.gone[i], until);
    if (status.ok()) ++change.stopped;
  }
  for (Change::Step& step : change.steps) {
    if (!status.ok()) break;
    if (step.old == nullptr) {
      status = start(step.fresh);
    } else {
      SwapReport report{step.fresh->name()};
      status = step.fresh->description().manifest().concurrent_copies() &&
                       step.old->description().manifest().concurrent_copies()
                   ? replace_beside(step.old, step.fresh)
                   : replace(step.old, step.fresh, &report);
      if (status.ok()) change.reports.push_back(report);
    }
    if (status.ok()) ++change.done;
  }
  // What serves comes before what requires it, also when a change brought them together.
  auto place = [&](const std::shared_ptr<Instance>& instance) {
    return std::find(change.order.begin(), change.order.end(), instance->name()) -
           change.order.begin();
  };
  std::stable_sort(modules_.begin(), modules_.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
  if (status.ok()) {
    // Whoever was replaced may come back until the new copies have proved themselves.
    auto watched = std::chrono::steady_clock::now() + host_->live().swap_watch;
    for (Change::Step& step : change.steps) {
      // Another host that is away would be away for the old one too.
      bool elsewhere = !step.fresh->description().remote.empty();
      if (step.old == nullptr || elsewhere || !status.ok()) continue;
      status = stays_healthy(*step.fresh, watched);
    }
  }
  if (status.ok()) {
    for (Change::Step& step : change.steps) {
      if (step.old != nullptr) retire(step.old);
    }
    for (const std::shared_ptr<Instance>& instance : change.gone) retire(instance);
    return status;
  }

  // Back, in the opposite order.
  Status undone;
  auto note = [&](Status result) {
    if (!result.ok()) {
      host_->log().error("while undoing: " + result.message());
      if (undone.ok()) undone = std::move(result);
    }
  };
  for (size_t i = change.done; i-- > 0;) {
    Change::Step& step = change.steps[i];
    if (step.old == nullptr) {
      note(stop(step.fresh, std::chrono::steady_clock::now() + host_->live().swap_timeout));
    } else {
      SwapReport ignored;
      note(replace(step.fresh, step.old, &ignored));
    }
  }
  for (size_t i = change.gone.size() - change.stopped; i < change.gone.size(); ++i) {
    note(start(change.gone[i]));
  }
  if (undone.ok()) return status;
  return {status.code(), status.message() + "; and going back failed: " + undone.message()};
}

Status Modules::start(const std::shared_ptr<Instance>& fresh) {
  Status status = fresh->activate();
  if (!status.ok()) return status;
  (void)fresh->gate().open();
  modules_.push_back(fresh);
  publish();
  return {};
}

Status Modules::stop(const std::shared_ptr<Instance>& old,
                     std::chrono::steady_clock::time_point until) {
  Status status = old->stop(until);
  if (old->is_stuck()) {
    stuck_ = true;
    return status;
  }
  if (!status.ok()) host_->log().error(status.message());
  std::erase(modules_, old);
  publish();
  return {};
}

Status Modules::replace(const std::shared_ptr<Instance>& old,
                        const std::shared_ptr<Instance>& fresh, SwapReport* report) {
  using Clock = std::chrono::steady_clock;
  const LiveConfig config = host_->live();
  auto began = Clock::now();
  auto until = began + std::chrono::duration_cast<Clock::duration>(config.swap_timeout);
  old->gate().hold(config.swap_hold_bytes);
  // Nobody waits longer, whatever the modules do.
  constexpr std::chrono::seconds kStart{5};  // for the new copy to take over
  Timer::Id limit = host_->timer().at(
      monotonic_now() + std::chrono::nanoseconds(config.swap_timeout + kStart).count(), [old] {
        for (const CallRef& call : old->gate().close()) {
          old->road()->dispatcher().resume(*call.get());
        }
      });
  auto release = [&](const std::shared_ptr<Instance>& serving) {
    host_->timer().cancel(limit);
    std::vector<CallRef> held = serving->gate().open();
    if (serving != old) {
      publish();
      held = old->gate().close();
    }
    report->held = held.size();
    for (const CallRef& call : held) host_->dispatcher().resume(*call.get());
    report->paused = Clock::now() - began;
  };

  Status status = old->drain(until);
  if (status.ok()) {
    Result<BufferRef> state = old->save();
    status = state.status();
    Status left = old->deactivate();
    if (!left.ok()) host_->log().error(left.message());
    if (status.ok() && *state) status = fresh->restore(*state);
    if (status.ok()) status = fresh->activate();
    if (status.ok()) {
      *find_in(modules_, old->name()) = fresh;
      release(fresh);
      return {};
    }
    Status back = old->activate();
    release(old);
    if (!back.ok()) {
      return {status.code(), status.message() + "; and the old one did not come back: " +
                                 back.message() + " (`imctl module reload` tries again)"};
    }
  } else {
    release(old);
  }
  return {status.code(), status.message() + "; the old one serves"};
}

Status Modules::replace_beside(const std::shared_ptr<Instance>& old,
                               const std::shared_ptr<Instance>& fresh) {
  Status status = fresh->activate();
  if (!status.ok()) return {status.code(), status.message() + "; the old one serves"};
  (void)fresh->gate().open();
  *find_in(modules_, old->name()) = fresh;
  publish();
  status = old->stop(std::chrono::steady_clock::now() + host_->live().swap_timeout);
  if (old->is_stuck()) stuck_ = true;
  if (!status.ok()) host_->log().error(status.message());
  return {};
}

Status Modules::stays_healthy(Instance& fresh, std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(health_mutex_);
  bool ill = health_changed_.wait_until(lock, until, [&] { return !fresh.is_serving(); });
  if (!ill) return {};
  return {IMCTL_ABORTED, "module " + fresh.name() + ": the new copy could not do its work: " +
                             fresh.health_reason() + "; the old one serves"};
}

void Modules::health_changed() {
  { std::lock_guard lock(health_mutex_); }
  health_changed_.notify_all();
}

void Modules::retire(const std::shared_ptr<Instance>& instance) {
  if (instance->state() == InstanceState::kActive ||
      instance->state() == InstanceState::kPrepared) {
    // Work of its pool or its threads may still be calling.
    Status status = instance->stop(std::chrono::steady_clock::now());
    if (!status.ok()) host_->log().error(status.message());
  }
  instance->destroy();
  stuck_ = stuck_ || instance->is_stuck();
}

void Modules::publish() {
  std::map<MethodSlot*, std::shared_ptr<const Route>> routes;
  std::set<std::string> services;
  for (const std::shared_ptr<Instance>& instance : modules_) {
    for (const Served& served : instance->served()) {
      auto provider = providers_.find(served.info.service);
      if (provider != providers_.end() && provider->second != instance->name()) continue;
      MethodSlot* slot = host_->methods().slot(served.info.name);
      std::shared_ptr<const Route> now = slot->route();
      bool same = now != nullptr && now->instance == instance && now->served == &served;
      routes[slot] = same ? now : std::make_shared<const Route>(Route{instance, &served});
    }
    for (const std::string& service : manifest_of(*instance).serves()) {
      auto provider = providers_.find(service);
      if (provider != providers_.end() && provider->second != instance->name()) continue;
      host_->health().set(service, instance->is_serving());
      services.insert(service);
    }
  }
  std::unique_lock routes_lock(routes_mutex_);
  for (MethodSlot* slot : host_->methods().all()) {
    const std::string address(slot->address());
    if (is_remote_address(address)) continue;  // no module's
    if (!address.empty()) {
      slot->set_route(find_route(modules_, *slot));
      continue;
    }
    auto route = routes.find(slot);
    slot->set_route(route == routes.end() ? nullptr : route->second);
  }
  std::shared_ptr<const View> before = view();
  for (const std::shared_ptr<Instance>& instance : before->modules) {
    for (const std::string& service : manifest_of(*instance).serves()) {
      if (services.count(service) == 0) host_->health().set(service, false);
    }
  }
  auto fresh = std::make_shared<View>();
  fresh->modules = modules_;
  fresh->providers = providers_;
  fresh->off = off_;
  fill_catalog(*fresh);
  {
    std::lock_guard lock(view_mutex_);
    view_ = std::move(fresh);
  }
  routes_lock.unlock();
  host_->access().modules_changed();
}

std::shared_ptr<const Route> Modules::route_to(MethodSlot& method) const {
  std::lock_guard lock(routes_mutex_);
  if (std::shared_ptr<const Route> known = method.route()) return known;
  std::shared_ptr<const Route> route = find_route(view()->modules, method);
  if (route != nullptr) method.set_route(route);
  return route;
}

Status Modules::stop(std::chrono::steady_clock::time_point until) {
  std::lock_guard lock(change_mutex_);
  stopped_ = true;
  Status first;
  // Neither the list nor the routes change: calls may still look at them, and a closed gate answers
  // in better words than a method that nobody serves.
  for (size_t i = modules_.size(); i-- > 0;) {
    Instance& instance = *modules_[i];
    for (const std::string& service : manifest_of(instance).serves()) {
      host_->health().set(service, false);
    }
    Status status = instance.stop(until);
    if (!status.ok()) {
      host_->log().error(status.message());
      if (first.ok()) first = status;
    }
    instance.destroy();
    stuck_ = stuck_ || instance.is_stuck();
  }
  return first;
}

}  // namespace imctl::host
