#include "core/archive.h"

#include <zlib.h>

#include <array>
#include <cstdio>
#include <cstring>

namespace imctl::host {
namespace {

// POSIX.1-1988, ustar.
constexpr size_t kBlock = 512;

struct Header {
  char name[100];
  char mode[8];
  char uid[8];
  char gid[8];
  char size[12];
  char mtime[12];
  char chksum[8];
  char typeflag;
  char linkname[100];
  char magic[6];
  char version[2];
  char rest[247];
};
static_assert(sizeof(Header) == kBlock);

template <size_t N>
void put_octal(char (&field)[N], unsigned long long value) {
  (void)std::snprintf(field, N, "%0*llo", static_cast<int>(N) - 1, value);
}

}  // namespace

Archive::Archive(std::chrono::system_clock::time_point time)
    : time_(std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count()) {}

void Archive::add(std::string_view path, std::string_view content) {
  Header header{};
  path.copy(header.name, sizeof(header.name));
  put_octal(header.mode, 0600);
  put_octal(header.uid, 0);
  put_octal(header.gid, 0);
  put_octal(header.size, content.size());
  put_octal(header.mtime, static_cast<unsigned long long>(time_));
  header.typeflag = '0';
  std::memcpy(header.magic, "ustar", sizeof(header.magic));
  std::memcpy(header.version, "00", sizeof(header.version));
  // It is the sum of all bytes, of which its own count as spaces.
  std::memset(header.chksum, ' ', sizeof(header.chksum));
  std::array<unsigned char, kBlock> bytes{};
  std::memcpy(bytes.data(), &header, kBlock);
  unsigned sum = 0;
  for (const unsigned char byte : bytes) sum += byte;
  (void)std::snprintf(header.chksum, sizeof(header.chksum), "%06o", sum);
  tar_.append(reinterpret_cast<const char*>(&header), kBlock);
  tar_.append(content);
  tar_.append((kBlock - content.size() % kBlock) % kBlock, '\0');
}

Result<std::string> Archive::finish() const {
  const std::string whole = tar_ + std::string(2 * kBlock, '\0');
  constexpr int kGzip = 15 + 16;  // the largest window, in a gzip file
  constexpr int kMemory = 8;
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, kMemory,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return Status(IMCTL_RESOURCE_EXHAUSTED, "no memory to compress the archive");
  }
  std::string packed(deflateBound(&stream, whole.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(whole.data()));
  stream.avail_in = static_cast<uInt>(whole.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int result = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  (void)deflateEnd(&stream);
  if (result != Z_STREAM_END) return Status(IMCTL_INTERNAL, "the archive cannot be compressed");
  return packed;
}

}  // namespace imctl::host
