// Random: a small seeded generator (splitmix64). For jitter and simulations, for no secret.
#ifndef IMCTL_ROUTER_CORE_RANDOM_H
#define IMCTL_ROUTER_CORE_RANDOM_H

#include <cstdint>
#include <string_view>

namespace imctl::router {

inline uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
  // 0 … bound - 1; 0 for 0.
  uint64_t below(uint64_t bound) {
    return bound == 0
               ? 0
               : static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  bool one_in(uint64_t n) { return below(n) == 0; }

 private:
  uint64_t state_;
};

// The same everywhere and always, unlike std::hash.
inline uint64_t hash_of(std::string_view text, uint64_t seed = 0) {
  uint64_t hash = 0xcbf29ce484222325ULL ^ mix(seed + 1);
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return mix(hash);
}

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_CORE_RANDOM_H
