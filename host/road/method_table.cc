#include "road/method_table.h"

namespace imctl::host {

std::string_view MethodSlot::service() const {
  std::string_view name = name_;
  if (!name.empty() && name.front() == '/') name.remove_prefix(1);
  return name.substr(0, name.find('/'));
}

std::string_view MethodSlot::address() const {
  std::string_view name = name_;
  size_t at = name.find('@');
  return at == std::string_view::npos ? std::string_view() : name.substr(at + 1);
}

void MethodSlot::count(int32_t code, int64_t nanoseconds) {
  auto index = static_cast<size_t>(code);
  if (index >= kCodes) index = IMCTL_UNKNOWN;
  ended_[index].fetch_add(1, std::memory_order_relaxed);
  latency_.add(nanoseconds);
  nanoseconds_.fetch_add(static_cast<uint64_t>(nanoseconds), std::memory_order_relaxed);
}

MethodSlot* MethodTable::slot(std::string_view name) {
  if (MethodSlot* found = find(name)) return found;
  std::unique_lock lock(mutex_);
  auto [at, made] = slots_.try_emplace(std::string(name), nullptr);
  if (made) at->second = std::make_unique<MethodSlot>(std::string(name));
  return at->second.get();
}

MethodSlot* MethodTable::find_public(std::string_view name) const {
  MethodSlot* found = find(name);
  return found != nullptr && found->address().empty() ? found : nullptr;
}

MethodSlot* MethodTable::find(std::string_view name) const {
  std::shared_lock lock(mutex_);
  auto at = slots_.find(name);
  return at == slots_.end() ? nullptr : at->second.get();
}

std::vector<MethodSlot*> MethodTable::all() const {
  std::shared_lock lock(mutex_);
  std::vector<MethodSlot*> all;
  all.reserve(slots_.size());
  for (const auto& [name, slot] : slots_) all.push_back(slot.get());
  return all;
}

}  // namespace imctl::host
