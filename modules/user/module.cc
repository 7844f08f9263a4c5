#include <sodium.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "auth_service.h"
#include "core.h"
#include "housekeeping.h"
#include "import_service.h"
#include "tokens_service.h"
#include "users_service.h"

namespace imctl::user {
namespace {

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kPatience{1};

class UserModule : public Module {
 public:
  explicit UserModule(const Host& host)
      : Module(host),
        core_(host),
        auth_(&core_, this),
        users_(&core_, &auth_, this),
        tokens_(&core_, this),
        import_(&core_, this),
        housekeeping_(&core_) {}

  ~UserModule() override { stop_thread(); }

  Status prepare(const Settings& settings) override {
    if (sodium_init() < 0) return {IMCTL_INTERNAL, "libsodium does not start"};
    Result<Options> options = Options::read(settings);
    if (!options.ok()) return options.status();
    core_.accounts = std::make_unique<Throttle>(options->throttle_entries);
    core_.addresses = std::make_unique<Throttle>(options->throttle_entries);
    core_.set_options(std::move(*options));
    return {};
  }

  Status apply(const Settings& settings) override {
    Result<Options> options = Options::read(settings);
    if (!options.ok()) return options.status();
    core_.set_options(std::move(*options));
    core_.hasher.warm_up(core_.options()->passwords);
    return {};
  }

  Status activate() override {
    // A swap that is undone comes here a second time.
    core_.changes.begin();
    housekeeping_.begin();
    core_.hasher.warm_up(core_.options()->passwords);
    stopping_ = false;
    heard_ = std::chrono::steady_clock::now();
    thread_ = std::thread([this] { run(); });
    return {};
  }

  Status quiesce() override {
    stop_thread();
    // A storage that does not answer must not hold up the stop.
    housekeeping_.finish(core_.changes.hears());
    core_.changes.quiesce();
    return {};
  }

  Status deactivate() override {
    core_.changes.wait();
    housekeeping_.wait();
    return {};
  }

  void report(State& state) override {
    state.add("changes", core_.changes.state());
    state.add("watchers", core_.changes.listeners());
    state.add("accounts_with_wrong_passwords", core_.accounts->size());
    state.add("addresses_with_wrong_passwords", core_.addresses->size());
    const LastSeen::Size seen = core_.last_seen.size();
    state.add("last_seen_known", seen.known);
    state.add("last_seen_waiting", seen.waiting);
    housekeeping_.report(state);
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      core_.changes.tick();
      tell_health();
      housekeeping_.tick();
      lock.lock();
      wake_.wait_for(lock, kTick, [this] { return stopping_; });
    }
  }

  // A storage that is only replaced is back before anybody needs to know.
  void tell_health() {
    const auto now = std::chrono::steady_clock::now();
    const bool hears = core_.changes.hears();
    if (hears) heard_ = now;
    if (!hears && now - heard_ < kPatience) return;
    if (hears == std::exchange(healthy_, hears)) return;
    host().set_health(hears, hears ? "" : "the storage of users cannot be reached");
  }

  void stop_thread() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  Core core_;
  AuthService auth_;
  UsersService users_;
  TokensService tokens_;
  ImportService import_;
  Housekeeping housekeeping_;
  bool healthy_ = true;                          // of the thread
  std::chrono::steady_clock::time_point heard_;  // of the thread
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace
}  // namespace imctl::user

using imctl::user::UserModule;
IMCTL_MODULE(UserModule)
