#include "storage_requests.h"

#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>

namespace imctl::bench {
namespace {

constexpr char kMailbox[] = "user0000@example.org";
constexpr size_t kMailboxDigits = 4;

// pb.CloudEvent of kMessageBytes; the place of its id.
Template event() {
  Template made;
  append_bytes(&made.bytes, 1, std::string(kUuid, 'x'));
  made.places = {made.bytes.size() - kUuid};
  append_bytes(&made.bytes, 2, "bench");
  append_bytes(&made.bytes, 3, "1.0");
  append_bytes(&made.bytes, 4, "test");
  constexpr size_t kHead = 3;  // tag and length of the data
  append_bytes(&made.bytes, 6, random_bytes(kMessageBytes - made.bytes.size() - kHead));
  return made;
}

}  // namespace

Random::Random() {
  std::random_device device;
  state_ = (uint64_t{device()} << 32U) | device();
}

void Uuid::write(char* to) const {
  static constexpr char kHex[] = "0123456789abcdef";
  size_t nibble = 0;
  for (size_t i = 0; i < kUuid; ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      to[i] = '-';
      continue;
    }
    uint64_t word = nibble < 16 ? high : low;
    to[i] = kHex[word >> (4 * (nibble % 16)) & 15U];
    ++nibble;
  }
}

void append_varint(std::string* to, uint64_t value) {
  for (; value >= 128; value >>= 7U) to->push_back(static_cast<char>(value | 128U));
  to->push_back(static_cast<char>(value));
}

void append_number(std::string* to, int field, uint64_t value) {
  append_varint(to, static_cast<uint64_t>(field) << 3U);
  append_varint(to, value);
}

void append_bytes(std::string* to, int field, std::string_view bytes) {
  append_varint(to, static_cast<uint64_t>(field) << 3U | 2U);
  append_varint(to, bytes.size());
  to->append(bytes);
}

uint64_t read_number(std::string_view message, int field) {
  size_t at = 0;
  auto varint = [&] {
    uint64_t value = 0;
    for (unsigned shift = 0; at < message.size() && shift < 64; shift += 7) {
      auto byte = static_cast<uint8_t>(message[at++]);
      value |= uint64_t{byte & 127U} << shift;
      if (byte < 128) return value;
    }
    throw std::runtime_error("an answer is malformed");
  };
  while (at < message.size()) {
    uint64_t tag = varint();
    uint64_t value = varint();
    if (tag == static_cast<uint64_t>(field) << 3U) return value;
    if ((tag & 7U) == 2) at += value;
  }
  return 0;
}

std::string random_bytes(size_t size) {
  Random random;
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

Template put_request(size_t count) {
  Template made;
  for (size_t i = 0; i < count; ++i) {
    Template one = event();
    append_bytes(&made.bytes, 1, one.bytes);
    made.places.push_back(made.bytes.size() - one.bytes.size() + one.places[0]);
  }
  return made;
}

Template get_request(size_t count) {
  Template made;
  for (size_t i = 0; i < count; ++i) {
    append_bytes(&made.bytes, 1, std::string(kUuid, 'x'));
    made.places.push_back(made.bytes.size() - kUuid);
  }
  return made;
}

Template append_request(size_t recipients) {
  Template made;
  Template one = event();
  std::string message;
  append_bytes(&message, 1, one.bytes);
  size_t id = message.size() - one.bytes.size() + one.places[0];
  append_bytes(&message, 2, "sender@example.org");
  append_bytes(&message, 3, "group@example.org");
  append_bytes(&made.bytes, 1, message);
  made.places.push_back(made.bytes.size() - message.size() + id);
  for (size_t i = 0; i < recipients; ++i) {
    append_bytes(&made.bytes, 2, kMailbox);
    made.places.push_back(made.bytes.size() - std::strlen(kMailbox));
  }
  return made;
}

Template read_request(uint32_t limit) {
  Template made;
  append_bytes(&made.bytes, 1, kMailbox);
  made.places.push_back(made.bytes.size() - std::strlen(kMailbox));
  append_number(&made.bytes, 2, 1);
  made.places.push_back(made.bytes.size() - 1);
  append_number(&made.bytes, 3, limit);
  return made;
}

void write_mailbox(char* to, uint64_t number) {
  to += std::strlen("user");
  for (size_t i = kMailboxDigits; i-- > 0; number /= 10)
    to[i] = static_cast<char>('0' + number % 10);
}

Template etcd_put_request() {
  Template made;
  append_bytes(&made.bytes, 1, std::string(kUuid, 'x'));
  made.places.push_back(made.bytes.size() - kUuid);
  append_bytes(&made.bytes, 2, random_bytes(kMessageBytes));
  return made;
}

}  // namespace imctl::bench
