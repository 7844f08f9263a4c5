#include "road/abi_code.h"

#include <utility>

#include "road/contain.h"

namespace imctl::host {
namespace {

class AbiCode final : public ModuleCode {
 public:
  AbiCode(std::shared_ptr<const void> code, const imctl_module* module)
      : code_(std::move(code)), module_(module) {}

  Status create(imctl_host* host) override {
    if (module_->abi != IMCTL_ABI) {
      return {IMCTL_FAILED_PRECONDITION, "its code says module ABI " +
                                             std::to_string(module_->abi) +
                                             ", its manifest another" + named(Rule::kAbi)};
    }
    if (!IMCTL_HAS(module_, destroy)) {
      return {IMCTL_FAILED_PRECONDITION, "its imctl_module has only " +
                                             std::to_string(module_->struct_size) +
                                             " bytes: too short" + named(Rule::kSizes)};
    }
    if (module_->create == nullptr || module_->methods == nullptr || module_->destroy == nullptr) {
      return {IMCTL_FAILED_PRECONDITION,
              "its imctl_module lacks create, methods or destroy" + named(Rule::kSlots)};
    }
    Status status =
        run([&](imctl_error* error) { return module_->create(host, &instance_, error); });
    if (!status.ok()) instance_ = nullptr;
    return status;
  }

  Result<std::map<std::string, imctl_method>> methods() override {
    size_t count = 0;
    const imctl_method* method = nullptr;
    Status given = run([&](imctl_error* /*none*/) {
      method = module_->methods(instance_, &count);
      return IMCTL_OK;
    });
    if (!given.ok()) return given;
    std::map<std::string, imctl_method> handlers;
    for (size_t i = 0; i < count; ++i) {
      if (method == nullptr || !IMCTL_HAS(method, user)) {
        return Status(IMCTL_FAILED_PRECONDITION,
                      "its method " + std::to_string(i) + " is too short" + named(Rule::kSizes));
      }
      if (method->start == nullptr) {
        return Status(IMCTL_FAILED_PRECONDITION, "its method " +
                                                     std::string(to_view(method->name)) +
                                                     " has no handler" + named(Rule::kSlots));
      }
      std::string name(to_view(method->name));
      imctl_method entry = *method;
      entry.name = {};
      if (!handlers.emplace(name, entry).second) {
        return Status(IMCTL_FAILED_PRECONDITION, "two handlers for " + name + named(Rule::kSlots));
      }
      method = reinterpret_cast<const imctl_method*>(reinterpret_cast<const char*>(method) +
                                                     method->struct_size);
    }
    return handlers;
  }

  Status prepare(const ModuleSettings& settings) override {
    imctl_settings raw = raw_of(settings);
    if (module_->prepare == nullptr) return {};
    return run([&](imctl_error* error) { return module_->prepare(instance_, &raw, error); });
  }
  Status activate() override { return step(module_->activate); }
  Status quiesce() override { return step(module_->quiesce); }
  Status deactivate() override { return step(module_->deactivate); }
  void destroy() override {
    if (instance_ != nullptr) module_->destroy(std::exchange(instance_, nullptr));
  }

  Result<BufferRef> save() override {
    const imctl_handover_table* table = handover();
    if (table == nullptr || table->save == nullptr) return BufferRef();
    imctl_buffer* state = nullptr;
    Status status = run([&](imctl_error* error) { return table->save(instance_, &state, error); });
    BufferRef saved(state);
    if (!status.ok()) return status;
    return saved;
  }
  Status restore(const BufferRef& state) override {
    const imctl_handover_table* table = handover();
    if (table == nullptr || table->restore == nullptr) return {};
    return run(
        [&](imctl_error* error) { return table->restore(instance_, to_str(state.view()), error); });
  }

  Status apply(const ModuleSettings& settings) override {
    const auto* offered = table<imctl_settings_table>(IMCTL_SETTINGS_TABLE);
    if (offered == nullptr || !IMCTL_HAS(offered, apply) || offered->apply == nullptr) {
      return ModuleCode::apply(settings);
    }
    imctl_settings raw = raw_of(settings);
    return run([&](imctl_error* error) { return offered->apply(instance_, &raw, error); });
  }

  Result<State> report() override {
    State state;
    const auto* offered = table<imctl_state_table>(IMCTL_STATE_TABLE);
    if (offered == nullptr || !IMCTL_HAS(offered, report) || offered->report == nullptr) {
      return state;
    }
    auto item = [](void* sink, imctl_str name, imctl_str value) {
      static_cast<State*>(sink)->emplace_back(to_view(name), to_view(value));
    };
    Status reported = run([&](imctl_error* /*none*/) {
      offered->report(instance_, item, &state);
      return IMCTL_OK;
    });
    if (!reported.ok()) return reported;
    return state;
  }

  std::string where() const override { return code_ == nullptr ? "built in" : "in process"; }

 private:
  static imctl_settings raw_of(const ModuleSettings& settings) {
    return {sizeof(imctl_settings), 0, to_str(settings.config), to_str(settings.data_dir),
            to_str(settings.domain)};
  }

  template <class Table>
  const Table* table(const char* name) {
    if (!IMCTL_HAS(module_, get_table) || module_->get_table == nullptr) return nullptr;
    const void* found = nullptr;
    // One that throws offers nothing.
    (void)run([&](imctl_error* /*none*/) {
      found = module_->get_table(instance_, to_str(name));
      return IMCTL_OK;
    });
    return static_cast<const Table*>(found);
  }
  const imctl_handover_table* handover() {
    const auto* offered = table<imctl_handover_table>(IMCTL_HANDOVER_TABLE);
    return offered != nullptr && IMCTL_HAS(offered, restore) ? offered : nullptr;
  }

  Status step(int32_t (*function)(void*, imctl_error*)) {
    if (function == nullptr) return {};
    return run([&](imctl_error* error) { return function(instance_, error); });
  }
  template <class Step>
  static Status run(Step&& function) {
    imctl_error error{sizeof(imctl_error), 0, {}};
    int32_t code = IMCTL_OK;
    Status thrown;
    contain(
        "it", [&] { code = function(&error); },
        [&](const std::string& what) { thrown = Status(IMCTL_INTERNAL, what); });
    if (!thrown.ok()) return thrown;
    if (code == IMCTL_OK) return {};
    error.message[sizeof(error.message) - 1] = '\0';
    return {static_cast<imctl_code>(code),
            error.message[0] == '\0' ? "failed and gave no reason" : error.message};
  }

  std::shared_ptr<const void> code_;
  const imctl_module* const module_;
  void* instance_ = nullptr;
};

}  // namespace

std::unique_ptr<ModuleCode> make_abi_code(std::shared_ptr<const void> code,
                                          const imctl_module* module) {
  return std::make_unique<AbiCode>(std::move(code), module);
}

}  // namespace imctl::host
