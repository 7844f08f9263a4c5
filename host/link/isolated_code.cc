#include "link/isolated_code.h"

#include <unistd.h>

#include <deque>
#include <fstream>
#include <utility>

#include "link/bridge.h"
#include "link/supervisor.h"
#include "link/wire.h"
#include "road/call.h"
#include "road/instance.h"

namespace imctl::host {
namespace {

class IsolatedCode final : public ModuleCode {
 public:
  explicit IsolatedCode(IsolatedOptions options) : options_(std::move(options)) {}

  Status create(imctl_host* host) override {
    instance_ = static_cast<HostHandle*>(host)->instance;
    auto supervisor = Supervisor::make(options_, instance_);
    if (!supervisor.ok()) return supervisor.status();
    supervisor_ = std::move(*supervisor);
    return run(Step::kCreate);
  }

  Result<std::map<std::string, imctl_method>> methods() override {
    std::map<std::string, imctl_method> handlers;
    for (const MethodInfo& info : instance_->spec().methods) {
      Method& method = methods_.emplace_back(Method{this, info.client_streams});
      handlers[info.name] = {sizeof(imctl_method), 0, {}, &IsolatedCode::start, &method};
    }
    return handlers;
  }

  // They send.
  bool handlers_block() const override { return false; }

  Status prepare(const ModuleSettings& settings) override {
    return run(Step::kPrepare, head_of(settings));
  }
  Status activate() override { return run(Step::kActivate); }
  Status quiesce() override { return run(Step::kQuiesce); }
  Status deactivate() override { return run(Step::kDeactivate); }
  void destroy() override {
    (void)run(Step::kDestroy);
    supervisor_.reset();
  }

  Result<BufferRef> save() override {
    Child::Reply reply = supervisor_->run(Step::kSave);
    if (!reply.status.ok()) return reply.status;
    return std::move(reply.tail);
  }
  Status restore(const BufferRef& state) override { return run(Step::kRestore, {}, state); }
  Status apply(const ModuleSettings& settings) override {
    return run(Step::kApply, head_of(settings));
  }
  Result<State> report() override {
    Child::Reply reply = supervisor_->run(Step::kState);
    if (!reply.status.ok()) return reply.status;
    State state;
    for (HeadReader in(reply.tail.view()); !in.at_end();) {
      std::string name(in.str());
      std::string value(in.str());
      if (!in.ok()) break;
      state.emplace_back(std::move(name), std::move(value));
    }
    return state;
  }
  void log_level_changed() override {
    if (supervisor_ != nullptr) supervisor_->wake();
  }

  std::string where() const override {
    pid_t pid = supervisor_ == nullptr ? 0 : supervisor_->pid();
    return pid == 0 ? "process (not running)" : "process " + std::to_string(pid);
  }
  uint64_t memory() const override {
    pid_t pid = supervisor_ == nullptr ? 0 : supervisor_->pid();
    if (pid == 0) return 0;
    std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
    uint64_t size = 0;
    uint64_t resident = 0;
    file >> size >> resident;
    return file ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
  }

 private:
  struct Method {
    IsolatedCode* code;
    bool client_streams;
  };

  static std::string head_of(const ModuleSettings& settings) {
    HeadWriter out;
    out.str(settings.config);
    out.str(settings.data_dir);
    out.str(settings.domain);
    return out.take();
  }

  Status run(Step step, std::string head = {}, BufferRef tail = {}) {
    return supervisor_->run(step, std::move(head), std::move(tail)).status;
  }

  static void start(void* user, imctl_call* call, const imctl_context* /*context*/,
                    imctl_buffer* request) {
    const auto* method = static_cast<Method*>(user);
    BufferRef taken(request);
    Result<std::shared_ptr<Bridge>> bridge = method->code->supervisor_->bridge();
    if (!bridge.ok()) {
      Call::from(call)->finish(bridge.status(), BufferRef());
      return;
    }
    (*bridge)->forward(Call::from(call), std::move(taken), method->client_streams);
  }

  const IsolatedOptions options_;
  Instance* instance_ = nullptr;
  std::unique_ptr<Supervisor> supervisor_;
  std::deque<Method> methods_;
};

}  // namespace

std::unique_ptr<ModuleCode> make_isolated_code(IsolatedOptions options) {
  return std::make_unique<IsolatedCode>(std::move(options));
}

}  // namespace imctl::host
