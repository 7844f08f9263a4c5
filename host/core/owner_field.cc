#include "core/owner_field.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

namespace imctl::host {

Result<std::string> owner_in(std::string_view message, uint32_t number) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(message.data()),
                                            static_cast<int>(message.size()));
  const uint32_t wanted =
      WireFormatLite::MakeTag(static_cast<int>(number), WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
  std::string owner;
  while (uint32_t tag = in.ReadTag()) {
    const bool read = tag == wanted ? WireFormatLite::ReadString(&in, &owner)
                                    : WireFormatLite::SkipField(&in, tag);
    if (!read) return Status(IMCTL_INVALID_ARGUMENT, "a field is not well-formed");
  }
  if (!in.ConsumedEntireMessage()) return Status(IMCTL_INVALID_ARGUMENT, "it ends in a field");
  return owner;
}

}  // namespace imctl::host
