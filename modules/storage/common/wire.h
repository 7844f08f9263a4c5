// Protobuf's wire format, as far as bytes are passed on without being parsed: messages are stored
// as they came and given back so.
#ifndef IMCTL_STORAGE_WIRE_H
#define IMCTL_STORAGE_WIRE_H

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <climits>
#include <cstdint>
#include <string>
#include <string_view>

namespace imctl::storage::wire {

using Lite = google::protobuf::internal::WireFormatLite;

// Calls `found(field, bytes)` with each length-delimited field of a serialized message, in order;
// others are skipped. False if it is none, or `found` gives false.
template <class Found>
bool for_each_bytes(std::string_view message, Found&& found) {
  if (message.size() > INT_MAX) return false;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(message.data()),
                                            static_cast<int>(message.size()));
  while (uint32_t tag = in.ReadTag()) {
    if (Lite::GetTagWireType(tag) != Lite::WIRETYPE_LENGTH_DELIMITED) {
      if (!Lite::SkipField(&in, tag)) return false;
      continue;
    }
    uint32_t size = 0;
    if (!in.ReadVarint32(&size) || size > INT_MAX) return false;
    auto at = static_cast<size_t>(in.CurrentPosition());
    if (!in.Skip(static_cast<int>(size))) return false;
    if (!found(Lite::GetTagFieldNumber(tag), message.substr(at, size))) return false;
  }
  return in.ConsumedEntireMessage();
}

inline void append_varint(std::string* to, uint64_t value) {
  for (; value >= 0x80; value >>= 7U) to->push_back(static_cast<char>((value & 0x7FU) | 0x80U));
  to->push_back(static_cast<char>(value));
}

inline void append_bytes(std::string* to, int field, std::string_view bytes) {
  append_varint(to, Lite::MakeTag(field, Lite::WIRETYPE_LENGTH_DELIMITED));
  append_varint(to, bytes.size());
  to->append(bytes);
}

}  // namespace imctl::storage::wire

#endif  // IMCTL_STORAGE_WIRE_H
