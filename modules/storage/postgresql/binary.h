// PostgreSQL's binary form of values: parameters of statements and what they answer.
#ifndef IMCTL_STORAGE_POSTGRESQL_BINARY_H
#define IMCTL_STORAGE_POSTGRESQL_BINARY_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace imctl::storage {

enum class Type : uint32_t { kBool = 16, kBytes = 17, kInt8 = 20, kUuid = 2950 };

inline void put_int(std::string* to, uint64_t value, unsigned bytes) {
  for (unsigned shift = 8 * bytes; shift > 0; shift -= 8) {
    to->push_back(static_cast<char>((value >> (shift - 8)) & 0xFF));
  }
}
inline uint64_t get_int(const char* from, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<unsigned char>(from[i]);
  return value;
}

// A one-dimensional array without NULLs.
class Array {
 public:
  explicit Array(Type type) : type_(type) {
    put_int(&bytes_, 1, 4);  // dimensions
    put_int(&bytes_, 0, 4);  // no NULLs
    put_int(&bytes_, static_cast<uint32_t>(type), 4);
    put_int(&bytes_, 0, 4);  // length: later
    put_int(&bytes_, 1, 4);  // first index
  }

  void add(std::string_view value) {
    put_int(&bytes_, value.size(), 4);
    bytes_.append(value);
    ++count_;
  }
  void add(int64_t value) {
    put_int(&bytes_, 8, 4);
    put_int(&bytes_, static_cast<uint64_t>(value), 8);
    ++count_;
  }
  void add(uint64_t value) { add(static_cast<int64_t>(value)); }
  void add(bool value) {
    put_int(&bytes_, 1, 4);
    bytes_.push_back(value ? '\1' : '\0');
    ++count_;
  }
  void add(const std::string& value) { add(std::string_view(value)); }
  void add(const char*) = delete;
  void add(int) = delete;

  size_t count() const { return count_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return count_ == 0; }
  void reserve(size_t bytes) { bytes_.reserve(bytes); }

  std::string take() && {
    std::string length;
    put_int(&length, count_, 4);
    bytes_.replace(12, 4, length);
    if (count_ == 0) {  // no dimension
      std::string none;
      put_int(&none, 0, 8);
      put_int(&none, static_cast<uint32_t>(type_), 4);
      return none;
    }
    return std::move(bytes_);
  }

 private:
  Type type_;
  std::string bytes_;
  size_t count_ = 0;
};

// What stands for $1, $2, … in a statement. Their types are those that the statement casts to.
class Params {
 public:
  Params() = default;
  template <class... Values>
  static Params of(Values&&... values) {
    Params params;
    (params.add(std::forward<Values>(values)), ...);
    return params;
  }

  void add(int64_t value) {
    std::string bytes;
    put_int(&bytes, static_cast<uint64_t>(value), 8);
    values_.push_back(std::move(bytes));
  }
  void add(uint64_t value) { add(static_cast<int64_t>(value)); }
  void add(bool value) { values_.emplace_back(1, value ? '\1' : '\0'); }
  void add(std::string_view value) { values_.emplace_back(value); }
  void add(const std::string& value) { values_.push_back(value); }
  void add(std::string&& value) { values_.push_back(std::move(value)); }
  void add(Array&& value) { values_.push_back(std::move(value).take()); }
  void add(const char*) = delete;
  void add(int) = delete;

  const std::vector<std::string>& values() const { return values_; }

 private:
  std::vector<std::string> values_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_BINARY_H
