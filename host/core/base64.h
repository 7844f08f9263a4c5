// Base64 of things of a known size, as libsodium makes it.
#ifndef IMCTL_HOST_CORE_BASE64_H
#define IMCTL_HOST_CORE_BASE64_H

#include <sodium.h>

#include <array>
#include <string>
#include <string_view>

namespace imctl::host {

template <size_t N>
std::string to_base64(const std::array<unsigned char, N>& bytes) {
  std::string text(sodium_base64_ENCODED_LEN(N, sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(text.data(), text.size(), bytes.data(), N, sodium_base64_VARIANT_ORIGINAL);
  text.pop_back();  // its zero
  return text;
}

// False: it is none, or of another size.
template <size_t N>
bool from_base64(std::string_view text, std::array<unsigned char, N>* bytes) {
  size_t size = 0;
  return sodium_base642bin(bytes->data(), N, text.data(), text.size(), nullptr, &size, nullptr,
                           sodium_base64_VARIANT_ORIGINAL) == 0 &&
         size == N;
}

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_BASE64_H
