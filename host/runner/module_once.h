// The module's code as the runner drives it: quiesce comes by itself, and once, though an
// Instance's drain has it too; and the threads that run its handlers can report a full stack.
#ifndef IMCTL_HOST_RUNNER_MODULE_ONCE_H
#define IMCTL_HOST_RUNNER_MODULE_ONCE_H

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "road/module_code.h"
#include "runner/crash.h"

namespace imctl::host {

class ModuleOnce final : public ModuleCode {
 public:
  explicit ModuleOnce(std::unique_ptr<ModuleCode> code) : code_(std::move(code)) {}

  Status create(imctl_host* host) override { return code_->create(host); }
  Result<std::map<std::string, imctl_method>> methods() override {
    Result<std::map<std::string, imctl_method>> methods = code_->methods();
    if (!methods.ok()) return methods;
    for (auto& [name, method] : *methods) {
      imctl_method& theirs = handlers_.emplace_back(method);
      method.start = [](void* user, imctl_call* call, const imctl_context* context,
                        imctl_buffer* request) {
        report_full_stack_of_thread();
        const auto* handler = static_cast<imctl_method*>(user);
        handler->start(handler->user, call, context, request);
      };
      method.user = &theirs;
    }
    return methods;
  }
  Status prepare(const ModuleSettings& settings) override { return code_->prepare(settings); }
  Status activate() override {
    quiesced_ = false;
    return code_->activate();
  }
  Status quiesce() override { return std::exchange(quiesced_, true) ? Status() : code_->quiesce(); }
  Status deactivate() override { return code_->deactivate(); }
  void destroy() override { code_->destroy(); }
  Result<BufferRef> save() override { return code_->save(); }
  Status restore(const BufferRef& state) override { return code_->restore(state); }
  Status apply(const ModuleSettings& settings) override { return code_->apply(settings); }
  Result<State> report() override { return code_->report(); }
  std::string where() const override { return code_->where(); }

 private:
  std::unique_ptr<ModuleCode> code_;
  std::deque<imctl_method> handlers_;
  bool quiesced_ = false;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_RUNNER_MODULE_ONCE_H
