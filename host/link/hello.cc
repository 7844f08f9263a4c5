#include "link/hello.h"

#include "link/wire.h"

namespace imctl::host {

std::string_view link_build() { return IMCTL_VERSION " " IMCTL_ABI_PIN; }

std::string encode(const Hello& hello) {
  HeadWriter out;
  out.str(hello.build);
  out.i32(hello.host);
  out.str(hello.name);
  out.str(hello.file);
  out.i32(hello.log_level);
  out.u64(hello.process.memory);
  out.u32(hello.process.files);
  out.u32(hello.process.nice);
  out.u8(hello.process.sandbox ? 1 : 0);
  out.u64(hello.limits.pool.threads);
  out.u64(hello.limits.pool.queue);
  out.u64(hello.limits.pool.queue_bytes);
  out.u64(hello.limits.stream_window);
  out.u64(hello.limits.streams_memory);
  for (const MethodInfo& method : hello.methods) {
    out.str(method.name);
    out.str(method.service);
    out.u8(method.client_streams ? 1 : 0);
    out.u8(method.server_streams ? 1 : 0);
    out.u8(method.blocking ? 1 : 0);
  }
  return out.take();
}

bool decode(std::string_view head, Hello* hello) {
  HeadReader in(head);
  hello->build = in.str();
  if (hello->build != link_build()) return false;
  hello->host = in.i32();
  hello->name = in.str();
  hello->file = in.str();
  hello->log_level = in.i32();
  hello->process.memory = in.u64();
  hello->process.files = in.u32();
  hello->process.nice = in.u32();
  hello->process.sandbox = in.u8() != 0;
  hello->limits.pool.threads = in.u64();
  hello->limits.pool.queue = in.u64();
  hello->limits.pool.queue_bytes = in.u64();
  hello->limits.stream_window = in.u64();
  hello->limits.streams_memory = in.u64();
  while (in.ok() && in.left() > 0) {
    MethodInfo method;
    method.name = in.str();
    method.service = in.str();
    method.client_streams = in.u8() != 0;
    method.server_streams = in.u8() != 0;
    method.blocking = in.u8() != 0;
    hello->methods.push_back(std::move(method));
  }
  return in.at_end();
}

}  // namespace imctl::host
