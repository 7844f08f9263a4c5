// What goes over a Link: the frame's header, the types of frames, and how the small fields of a
// frame (its head) are laid out. Both ends are on one machine and of one build (the hello frame
// says so), so numbers are in host byte order and a head has no fields to skip.
//
// Decoding trusts nothing: whatever the bytes are, it never reads past their end, never allocates
// more than they could fill, and answers false for what is malformed.
#ifndef IMCTL_HOST_LINK_WIRE_H
#define IMCTL_HOST_LINK_WIRE_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace imctl::host {

enum class FrameType : uint8_t {
  kHello = 1,     // the first from each end: who it is, which build
  kStart,         // a call begins; tail: its request, absent if the client streams
  kMessage,       // one message of a stream; tail
  kCredit,        // more messages of a stream may be sent
  kWritesDone,    // the caller's messages end
  kCancel,        // a notice to the end that serves the call
  kFinish,        // a call is over; tail: its reply, absent if there is none
  kControl,       // asks for a step of the module's life
  kControlReply,  // how that went
  kLog,           // a line for the host's log
  kMetric,        // a metric's change
  kHealth,        // whether the module can do its work
  kMove,          // the module goes: a stream is to end soon, or else ends so
  kPing,          // asks for a sign of life
  kPong,          // which this is
  kLogLevel,      // the lowest level of lines for the log that the module is to send
};
inline constexpr auto kLastFrameType = FrameType::kLogLevel;

// The most a head may have, and the most a tail may have.
inline constexpr size_t kMaxFramePart = size_t{1} << 30;

struct FrameHeader {
  FrameType type = FrameType::kHello;
  bool has_tail = false;  // absent differs from empty
  uint32_t head_size = 0;
  uint32_t tail_size = 0;
  uint64_t id = 0;  // the call or request that the frame belongs to
};

inline constexpr size_t kFrameHeaderSize = 24;

// Writes kFrameHeaderSize bytes.
void encode_header(const FrameHeader& header, char* out);
// Reads kFrameHeaderSize bytes. False: not a header, or its sizes are over kMaxFramePart.
bool decode_header(const char* in, FrameHeader* header);

// Puts fields one after the other.
class HeadWriter {
 public:
  void u8(uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void u32(uint32_t value) { raw(value); }
  void i32(int32_t value) { raw(value); }
  void u64(uint64_t value) { raw(value); }
  void i64(int64_t value) { raw(value); }
  void f64(double value) { raw(value); }
  // At most kMaxFramePart bytes: of a longer one the head is too long for any link, which refuses
  // it.
  void str(std::string_view text);

  const std::string& bytes() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  template <class T>
  void raw(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }

  std::string out_;
};

// Takes fields in the order in which they were put. Past the end, or after the first failure, it
// gives zeros and empty strings, and ok() is false from then on.
class HeadReader {
 public:
  explicit HeadReader(std::string_view head) : rest_(head) {}

  uint8_t u8() { return raw<uint8_t>(); }
  uint32_t u32() { return raw<uint32_t>(); }
  int32_t i32() { return raw<int32_t>(); }
  uint64_t u64() { return raw<uint64_t>(); }
  int64_t i64() { return raw<int64_t>(); }
  double f64() { return raw<double>(); }
  std::string_view str();  // into the head

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && rest_.empty(); }
  size_t left() const { return rest_.size(); }
  // Has it found wrong by one who knows what the values mean.
  void fail();

 private:
  template <class T>
  T raw() {
    T value{};
    if (rest_.size() < sizeof(T)) {
      fail();
      return value;
    }
    rest_.copy(reinterpret_cast<char*>(&value), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return value;
  }

  std::string_view rest_;
  bool ok_ = true;
};

using WirePairs = std::vector<std::pair<std::string, std::string>>;

struct StartFrame {
  uint64_t parent = 0;  // the call on whose behalf; 0: none
  std::string method;   // "/package.Service/Method"
  int32_t principal_kind = 0;
  uint32_t flags = 0;
  uint32_t depth = 0;
  bool nested = false;
  int64_t deadline = 0;  // nanoseconds of CLOCK_MONOTONIC, the same for both ends; 0: none
  std::string principal;
  std::string caller_module;
  std::string call_id;
  WirePairs metadata;
};

struct FinishFrame {
  int32_t code = 0;
  std::string message;
  std::string details;
  WirePairs trailers;
};

struct CreditFrame {
  uint32_t messages = 0;
  uint64_t bytes = 0;
};

struct CancelFrame {
  int32_t code = 0;
  std::string why;
};

// The host's kHello is a Hello of link/hello.h; the module's end answers with its build alone.

// A step of the module's life. A kControl's head is one of these and what belongs to it: for
// kPrepare and kApply the settings; the state for kRestore is the tail. A kControlReply's head is a
// FinishFrame, its tail the state of kSave, or for kState names and values in turn.
enum class Step : uint8_t {
  kCreate = 1,
  kPrepare,
  kActivate,
  kQuiesce,
  kDeactivate,
  kSave,
  kRestore,
  kDestroy,
  kApply,
  kState,
};

// Whose call it belongs to, the host knows by the frame's number; 0: none.
struct LogFrame {
  int32_t level = 0;
  std::string text;
};

// What came to a counter or a histogram since the last one, or what a gauge stands at.
struct MetricFrame {
  int32_t kind = 0;
  std::string name;
  std::string labels;
  std::string help;
  double value = 0;
  uint64_t count = 0;
  std::vector<uint64_t> buckets;
};

struct HealthFrame {
  bool serving = true;
  std::string reason;
};

// The head of such a frame.
std::string encode(const StartFrame& frame);
std::string encode(const FinishFrame& frame);
std::string encode(const CreditFrame& frame);
std::string encode(const CancelFrame& frame);
std::string encode(const LogFrame& frame);
std::string encode(const MetricFrame& frame);
std::string encode(const HealthFrame& frame);

// False: malformed, or bytes are left over; `frame` is then of no use.
bool decode(std::string_view head, StartFrame* frame);
bool decode(std::string_view head, FinishFrame* frame);
bool decode(std::string_view head, CreditFrame* frame);
bool decode(std::string_view head, CancelFrame* frame);
bool decode(std::string_view head, LogFrame* frame);
bool decode(std::string_view head, MetricFrame* frame);
bool decode(std::string_view head, HealthFrame* frame);

}  // namespace imctl::host

#endif  // IMCTL_HOST_LINK_WIRE_H
