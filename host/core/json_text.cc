#include "core/json_text.h"

#include <array>
#include <cstdio>

#include "core/utf8.h"

namespace imctl::host {

void append_json_string(std::string* out, std::string_view text) {
  *out += '"';
  while (!text.empty()) {
    size_t size = utf8_sequence(text);
    const auto byte = static_cast<unsigned char>(text.front());
    if (size == 0) {
      *out += "\\ufffd";
      size = 1;
    } else if (byte == '"' || byte == '\\') {
      out->append("\\").push_back(text.front());
    } else if (byte == '\n') {
      *out += "\\n";
    } else if (byte == '\r') {
      *out += "\\r";
    } else if (byte == '\t') {
      *out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      std::array<char, 8> code{};
      (void)snprintf(code.data(), code.size(), "\\u%04x", static_cast<unsigned>(byte));
      *out += code.data();
    } else {
      out->append(text.substr(0, size));
    }
    text.remove_prefix(size);
  }
  *out += '"';
}

}  // namespace imctl::host
