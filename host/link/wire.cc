#include "link/wire.h"

#include <algorithm>
#include <cstring>

namespace imctl::host {
namespace {

// The frame's header as it is sent. The magic number finds an end that has lost its place.
struct RawHeader {
  uint32_t magic;
  uint32_t head_size;
  uint32_t tail_size;
  uint8_t type;
  uint8_t has_tail;
  uint16_t zero;
  uint64_t id;
};
static_assert(sizeof(RawHeader) == kFrameHeaderSize);
static_assert(std::has_unique_object_representations_v<RawHeader>, "no padding is sent");

constexpr uint32_t kMagic = 0x4c434d49;  // "IMCL"

void put(HeadWriter& out, const WirePairs& pairs) {
  out.u32(static_cast<uint32_t>(pairs.size()));
  for (const auto& [key, value] : pairs) {
    out.str(key);
    out.str(value);
  }
}

void get(HeadReader& in, WirePairs* pairs) {
  pairs->clear();
  uint32_t count = in.u32();
  // Each has two lengths at least, so a made up count reserves nothing.
  if (count > in.left() / (2 * sizeof(uint32_t))) {
    in.fail();
    return;
  }
  pairs->reserve(count);
  for (uint32_t i = 0; i < count && in.ok(); ++i) {
    std::string_view key = in.str();
    std::string_view value = in.str();
    pairs->emplace_back(key, value);
  }
}

}  // namespace

void encode_header(const FrameHeader& header, char* out) {
  RawHeader raw{kMagic,
                header.head_size,
                header.tail_size,
                static_cast<uint8_t>(header.type),
                static_cast<uint8_t>(header.has_tail ? 1 : 0),
                0,
                header.id};
  std::memcpy(out, &raw, sizeof(raw));
}

bool decode_header(const char* in, FrameHeader* header) {
  RawHeader raw;
  std::memcpy(&raw, in, sizeof(raw));
  if (raw.magic != kMagic || raw.zero != 0 || raw.has_tail > 1) return false;
  if (raw.type < 1 || raw.type > static_cast<uint8_t>(kLastFrameType)) return false;
  if (raw.head_size > kMaxFramePart || raw.tail_size > kMaxFramePart) return false;
  if (raw.has_tail == 0 && raw.tail_size != 0) return false;
  *header = {static_cast<FrameType>(raw.type), raw.has_tail == 1, raw.head_size, raw.tail_size,
             raw.id};
  return true;
}

void HeadWriter::str(std::string_view text) {
  u32(static_cast<uint32_t>(std::min(text.size(), kMaxFramePart + 1)));
  out_.append(text);
}

std::string_view HeadReader::str() {
  uint32_t size = u32();
  if (size > rest_.size()) {
    fail();
    return {};
  }
  std::string_view text = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return text;
}

void HeadReader::fail() {
  ok_ = false;
  rest_ = {};
}

std::string encode(const StartFrame& frame) {
  HeadWriter out;
  out.u64(frame.parent);
  out.str(frame.method);
  out.i32(frame.principal_kind);
  out.u32(frame.flags);
  out.u32(frame.depth);
  out.u8(frame.nested ? 1 : 0);
  out.i64(frame.deadline);
  out.str(frame.principal);
  out.str(frame.caller_module);
  out.str(frame.call_id);
  put(out, frame.metadata);
  return out.take();
}

bool decode(std::string_view head, StartFrame* frame) {
  HeadReader in(head);
  frame->parent = in.u64();
  frame->method = in.str();
  frame->principal_kind = in.i32();
  frame->flags = in.u32();
  frame->depth = in.u32();
  frame->nested = in.u8() != 0;
  frame->deadline = in.i64();
  frame->principal = in.str();
  frame->caller_module = in.str();
  frame->call_id = in.str();
  get(in, &frame->metadata);
  return in.at_end();
}

std::string encode(const FinishFrame& frame) {
  HeadWriter out;
  out.i32(frame.code);
  out.str(frame.message);
  out.str(frame.details);
  put(out, frame.trailers);
  return out.take();
}

bool decode(std::string_view head, FinishFrame* frame) {
  HeadReader in(head);
  frame->code = in.i32();
  frame->message = in.str();
  frame->details = in.str();
  get(in, &frame->trailers);
  return in.at_end();
}

std::string encode(const CreditFrame& frame) {
  HeadWriter out;
  out.u32(frame.messages);
  out.u64(frame.bytes);
  return out.take();
}

bool decode(std::string_view head, CreditFrame* frame) {
  HeadReader in(head);
  frame->messages = in.u32();
  frame->bytes = in.u64();
  return in.at_end();
}

std::string encode(const CancelFrame& frame) {
  HeadWriter out;
  out.i32(frame.code);
  out.str(frame.why);
  return out.take();
}

bool decode(std::string_view head, CancelFrame* frame) {
  HeadReader in(head);
  frame->code = in.i32();
  frame->why = in.str();
  return in.at_end();
}

std::string encode(const LogFrame& frame) {
  HeadWriter out;
  out.i32(frame.level);
  out.str(frame.text);
  return out.take();
}

bool decode(std::string_view head, LogFrame* frame) {
  HeadReader in(head);
  frame->level = in.i32();
  frame->text = in.str();
  return in.at_end();
}

std::string encode(const MetricFrame& frame) {
  HeadWriter out;
  out.i32(frame.kind);
  out.str(frame.name);
  out.str(frame.labels);
  out.str(frame.help);
  out.f64(frame.value);
  out.u64(frame.count);
  for (uint64_t bucket : frame.buckets) out.u64(bucket);
  return out.take();
}

bool decode(std::string_view head, MetricFrame* frame) {
  HeadReader in(head);
  frame->kind = in.i32();
  frame->name = in.str();
  frame->labels = in.str();
  frame->help = in.str();
  frame->value = in.f64();
  frame->count = in.u64();
  frame->buckets.clear();
  while (in.ok() && in.left() > 0) frame->buckets.push_back(in.u64());
  return in.at_end();
}

std::string encode(const HealthFrame& frame) {
  HeadWriter out;
  out.u8(frame.serving ? 1 : 0);
  out.str(frame.reason);
  return out.take();
}

bool decode(std::string_view head, HealthFrame* frame) {
  HeadReader in(head);
  frame->serving = in.u8() != 0;
  frame->reason = in.str();
  return in.at_end();
}

}  // namespace imctl::host
