// A hash that is the same on every machine.
#ifndef IMCTL_LOCATIONS_HASH_H
#define IMCTL_LOCATIONS_HASH_H

#include <cstdint>
#include <string_view>

namespace imctl::locations {

// The finalizer of splitmix64: every bit of the result depends on every bit of the value.
inline uint64_t mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

inline uint64_t hash_bytes(std::string_view bytes, uint64_t hash = 0xcbf29ce484222325) {
  for (const char byte : bytes) {  // FNV-1a
    hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  }
  return mix(hash ^ bytes.size());
}

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_HASH_H
