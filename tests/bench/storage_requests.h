// Requests to stores, as bytes: serialised once, and only what differs is patched in place before a
// call, so that making them costs next to nothing beside the server they are for.
#ifndef IMCTL_TESTS_BENCH_STORAGE_REQUESTS_H
#define IMCTL_TESTS_BENCH_STORAGE_REQUESTS_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace imctl::bench {

constexpr size_t kMessageBytes = 1024;  // of a serialised message
constexpr size_t kBatch = 100;
constexpr size_t kUuid = 36;

// Small and quick; not for secrets.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  // Of a seed that nobody had before.
  Random();
  uint64_t operator()() { return mix(state_ += 0x9E3779B97F4A7C15ULL); }
  uint64_t below(uint64_t end) { return (*this)() % end; }

  static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31U);
  }

 private:
  uint64_t state_;
};

struct Uuid {
  uint64_t high = 0;
  uint64_t low = 0;

  static Uuid random(Random& random) { return {random(), random()}; }
  // The one with this number of a fixed sequence of random ones.
  static Uuid numbered(uint64_t number) {
    return {Random::mix(2 * number + 1), Random::mix(~(2 * number))};
  }
  // 36 characters.
  void write(char* to) const;
};

// A serialised request and where the parts are that differ from call to call.
struct Template {
  std::string bytes;
  std::vector<size_t> places;
};

// The protobuf wire format.
void append_varint(std::string* to, uint64_t value);
void append_number(std::string* to, int field, uint64_t value);
void append_bytes(std::string* to, int field, std::string_view bytes);
// Of a field of a message that is there once; 0: it is not.
uint64_t read_number(std::string_view message, int field);

// kMessageBytes of bytes that do not repeat.
std::string random_bytes(size_t size);

// awakari.messages.PutBatchRequest of `count` messages, GetBatchRequest of `count` ids; the places
// are those of the ids.
Template put_request(size_t count);
Template get_request(size_t count);
// imctl.storage.v1.AppendRequest: the place of the id, then those of the recipients' names, which
// write_mailbox() fills in.
Template append_request(size_t recipients);
// imctl.storage.v1.ReadRequest: the place of the mailbox's name, and that of `after`, a byte < 128.
Template read_request(uint32_t limit);
void write_mailbox(char* to, uint64_t number);  // number < 10000
// etcdserverpb.PutRequest: the place of the key, a UUID.
Template etcd_put_request();

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_STORAGE_REQUESTS_H
