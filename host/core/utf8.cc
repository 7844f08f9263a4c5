#include "core/utf8.h"

namespace imctl::host {

size_t utf8_sequence(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(0);
  size_t size = lead < 0x80       ? 1
                : lead >> 5 == 6  ? 2
                : lead >> 4 == 14 ? 3
                : lead >> 3 == 30 ? 4
                                  : 0;
  if (size == 0 || size > text.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if (byte(i) >> 6 != 2) return 0;
  }
  bool overlong = (size == 2 && lead < 0xc2) || (size == 3 && lead == 0xe0 && byte(1) < 0xa0) ||
                  (size == 4 && lead == 0xf0 && byte(1) < 0x90);
  bool surrogate = size == 3 && lead == 0xed && byte(1) >= 0xa0;
  bool beyond = size == 4 && (lead > 0xf4 || (lead == 0xf4 && byte(1) >= 0x90));
  return overlong || surrogate || beyond ? 0 : size;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t size = utf8_sequence(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

}  // namespace imctl::host
