#include "message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <climits>

#include "imctl/storage/v1/mailboxes.pb.h"

namespace imctl::storage {
namespace {

constexpr size_t kShownId = 64;

// The bytes that equal messages share: map entries sorted, unknown fields kept.
template <class Message>
std::string canonical(std::string_view bytes) {
  Message message;
  if (bytes.size() > INT_MAX ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return std::string(bytes);
  }
  std::string sorted;
  sorted.reserve(message.ByteSizeLong());
  {
    google::protobuf::io::StringOutputStream stream(&sorted);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeWithCachedSizes(&coded);
  }
  return sorted;
}

template <class Message>
bool same(std::string_view a, std::string_view b) {
  return a == b || canonical<Message>(a) == canonical<Message>(b);
}

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

std::string missing_field(const pb::CloudEvent& message) {
  if (message.id().empty()) return "id";
  if (message.source().empty()) return "source";
  if (message.spec_version().empty()) return "spec_version";
  if (message.type().empty()) return "type";
  return {};
}

std::string delivery_key(const pb::CloudEvent& event) {
  return std::to_string(event.source().size()) + ":" + event.source() + event.id();
}

bool same_message(std::string_view a, std::string_view b) { return same<pb::CloudEvent>(a, b); }
bool same_delivery(std::string_view a, std::string_view b) { return same<v1::Message>(a, b); }

}  // namespace imctl::storage
