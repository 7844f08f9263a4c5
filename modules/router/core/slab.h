// Slab: what waits for an answer, by ticket. A ticket is never given twice, so an answer that comes
// twice finds nothing.
#ifndef IMCTL_ROUTER_CORE_SLAB_H
#define IMCTL_ROUTER_CORE_SLAB_H

#include <cstdint>
#include <utility>
#include <vector>

#include "types.h"

namespace imctl::router {

template <typename T>
class Slab {
 public:
  Ticket add(T value) {
    uint32_t index = 0;
    if (free_.empty()) {
      index = static_cast<uint32_t>(places_.size());
      places_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Place& place = places_[index];
    place.value = std::move(value);
    place.used = true;
    ++used_;
    return (static_cast<Ticket>(++place.life) << 32) | index;
  }
  // Null: there is no such ticket (any more). Valid until the next add() or take().
  T* find(Ticket ticket) {
    const auto index = static_cast<uint32_t>(ticket);
    if (index >= places_.size() || !places_[index].used || places_[index].life != ticket >> 32) {
      return nullptr;
    }
    return &places_[index].value;
  }
  bool take(Ticket ticket, T* value) {
    T* const place = find(ticket);
    if (place == nullptr) return false;
    *value = std::move(*place);
    *place = T();
    places_[static_cast<uint32_t>(ticket)].used = false;
    free_.push_back(static_cast<uint32_t>(ticket));
    --used_;
    return true;
  }
  size_t size() const { return used_; }

 private:
  struct Place {
    T value{};
    uint32_t life = 0;
    bool used = false;
  };
  std::vector<Place> places_;
  std::vector<uint32_t> free_;
  size_t used_ = 0;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_SLAB_H
