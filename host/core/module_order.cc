#include "core/module_order.h"

#include <algorithm>
#include <utility>

namespace imctl::host {
namespace {

// A depth-first walk along the requirements.
class Ordering {
 public:
  Ordering(std::vector<std::shared_ptr<const Description>> modules,
           const std::map<std::string, std::string>& providers)
      : modules_(std::move(modules)), providers_(providers), state_(modules_.size()) {
    for (size_t i = 0; i < modules_.size(); ++i) index_[modules_[i]->name()] = i;
  }

  Result<std::vector<std::shared_ptr<const Description>>> run() {
    for (size_t i = 0; i < modules_.size(); ++i) {
      if (state_[i] == kDone) continue;
      Status status = visit(i);
      if (!status.ok()) return status;
    }
    return std::move(ordered_);
  }

 private:
  enum State { kNew, kOpen, kDone };

  Status visit(size_t i) {
    state_[i] = kOpen;
    path_.push_back(i);
    for (const Requirement& requirement : modules_[i]->manifest().needs()) {
      auto found = providers_.find(requirement.service());
      if (found == providers_.end()) {
        if (requirement.optional()) continue;
        return {IMCTL_FAILED_PRECONDITION,
                "module " + modules_[i]->name() + " requires " + requirement.service() +
                    ", which no loaded module serves: switch on one that does (host.modules)"};
      }
      size_t next = index_.at(found->second);
      if (next == i || state_[next] == kDone) continue;
      if (state_[next] == kOpen) {
        if (requirement.optional()) continue;
        return {IMCTL_FAILED_PRECONDITION,
                "modules require each other in a circle: " + circle(next)};
      }
      Status status = visit(next);
      if (!status.ok()) return status;
    }
    path_.pop_back();
    state_[i] = kDone;
    ordered_.push_back(modules_[i]);
    return {};
  }

  std::string circle(size_t from) const {
    std::string text;
    for (auto at = std::find(path_.begin(), path_.end(), from); at != path_.end(); ++at) {
      text += modules_[*at]->name() + " -> ";
    }
    return text + modules_[from]->name();
  }

  const std::vector<std::shared_ptr<const Description>> modules_;
  const std::map<std::string, std::string>& providers_;
  std::map<std::string, size_t> index_;
  std::vector<State> state_;
  std::vector<size_t> path_;
  std::vector<std::shared_ptr<const Description>> ordered_;
};

}  // namespace

Result<std::vector<std::shared_ptr<const Description>>> order_modules(
    std::vector<std::shared_ptr<const Description>> modules,
    const std::map<std::string, std::string>& providers) {
  return Ordering(std::move(modules), providers).run();
}

}  // namespace imctl::host
