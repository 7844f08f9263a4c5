#include "message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

namespace imctl::storage {
namespace {

constexpr size_t kShownId = 64;

}  // namespace

std::string describe(size_t index, std::string_view id) {
  std::string shown;
  size_t end = id.size();
  if (end > kShownId) {
    // Not in the middle of a character.
    end = kShownId;
    while (end > 0 && (static_cast<unsigned char>(id[end]) & 0xC0U) == 0x80U) --end;
  }
  for (char c : id.substr(0, end)) shown += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  if (end < id.size()) shown += "...";
  return "msgs[" + std::to_string(index) + "] (id \"" + shown + "\")";
}

Status validate(const pb::CloudEvent& message, size_t index, size_t max_message) {
  const char* missing = nullptr;
  if (message.id().empty()) {
    missing = "id";
  } else if (message.source().empty()) {
    missing = "source";
  } else if (message.spec_version().empty()) {
    missing = "spec_version";
  } else if (message.type().empty()) {
    missing = "type";
  }
  if (missing != nullptr) {
    return {IMCTL_INVALID_ARGUMENT,
            describe(index, message.id()) + ": " + missing + " is empty: every message needs one"};
  }
  if (size_t size = message.ByteSizeLong(); size > max_message) {
    return {IMCTL_INVALID_ARGUMENT, describe(index, message.id()) + ": " + std::to_string(size) +
                                        " bytes are more than max_message, " +
                                        std::to_string(max_message)};
  }
  return {};
}

std::string canonical(const pb::CloudEvent& message) {
  std::string bytes;
  bytes.reserve(message.ByteSizeLong());
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeWithCachedSizes(&coded);
  }
  return bytes;
}

}  // namespace imctl::storage
