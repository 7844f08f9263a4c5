// A module's view of the host: buffers, log, pool, metrics, settings. All of it from any thread.
#ifndef IMCTL_HOST_H
#define IMCTL_HOST_H

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "imctl/module.h"
#include "imctl/status.h"

namespace imctl {

// A run of bytes that the host counts; moving is free, copying makes one more owner of the same
// bytes.
class Buffer {
 public:
  Buffer() = default;
  // Becomes an owner of what `raw`'s giver gave up.
  Buffer(imctl_host* host, imctl_buffer* raw) : host_(host), raw_(raw) {}
  Buffer(const Buffer& other) : host_(other.host_), raw_(other.raw_) {
    if (raw_ != nullptr) host_->buffer_retain(raw_);
  }
  Buffer(Buffer&& other) noexcept : host_(other.host_), raw_(std::exchange(other.raw_, nullptr)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(host_, other.host_);
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Buffer() {
    if (raw_ != nullptr) host_->buffer_release(raw_);
  }

  explicit operator bool() const { return raw_ != nullptr; }
  std::string_view view() const {
    if (raw_ == nullptr) return {};
    return {reinterpret_cast<const char*>(raw_->data), raw_->size};
  }
  size_t size() const { return raw_ == nullptr ? 0 : raw_->size; }
  uint8_t* data() { return raw_ == nullptr ? nullptr : raw_->data; }
  imctl_buffer* raw() const { return raw_; }
  imctl_buffer* give() { return std::exchange(raw_, nullptr); }

 private:
  imctl_host* host_ = nullptr;
  imctl_buffer* raw_ = nullptr;
};

// A counter, gauge or histogram; empty ones swallow what they are told.
class Metric {
 public:
  Metric() = default;
  Metric(const imctl_metrics_table* table, imctl_metric* raw) : table_(table), raw_(raw) {}
  void add(double value = 1) const {
    if (raw_ != nullptr) table_->add(raw_, value);
  }
  void set(double value) const {
    if (raw_ != nullptr) table_->set(raw_, value);
  }
  void observe(double seconds) const {
    if (raw_ != nullptr) table_->observe(raw_, seconds);
  }

 private:
  const imctl_metrics_table* table_ = nullptr;
  imctl_metric* raw_ = nullptr;
};

class Host {
 public:
  explicit Host(imctl_host* raw)
      : raw_(raw),
        call_(table<imctl_call_table>(IMCTL_CALL_TABLE)),
        client_(table<imctl_client_table>(IMCTL_CLIENT_TABLE)),
        pool_(table<imctl_pool_table>(IMCTL_POOL_TABLE)),
        metrics_(table<imctl_metrics_table>(IMCTL_METRICS_TABLE)),
        health_(table<imctl_health_table>(IMCTL_HEALTH_TABLE)),
        json_(table<imctl_json_table>(IMCTL_JSON_TABLE)) {}

  imctl_host* raw() const { return raw_; }
  const imctl_call_table& calls() const { return *call_; }
  const imctl_client_table& client() const { return *client_; }

  template <class Table>
  const Table* table(const char* name) const {
    return static_cast<const Table*>(raw_->get_table(raw_, to_str(name)));
  }

  Buffer buffer(size_t size) const { return Buffer(raw_, raw_->buffer_new(raw_, size)); }
  Buffer copy(std::string_view bytes) const {
    Buffer made = buffer(bytes.size());
    if (made && !bytes.empty()) std::memcpy(made.data(), bytes.data(), bytes.size());
    return made;
  }
  Buffer adopt(imctl_buffer* raw) const { return Buffer(raw_, raw); }
  // Passes a string on without a copy.
  Buffer wrap(std::string bytes) const {
    auto held = std::make_unique<std::string>(std::move(bytes));
    std::string* p = held.release();
    return Buffer(raw_, raw_->buffer_wrap(
                            raw_, p->data(), p->size(),
                            [](void* user) { delete static_cast<std::string*>(user); }, p));
  }

  void log(imctl_log_level level, std::string_view text, const imctl_call* call = nullptr) const {
    raw_->log(raw_, level, call, to_str(text));
  }
  void debug(std::string_view text) const { log(IMCTL_LOG_DEBUG, text); }
  void info(std::string_view text) const { log(IMCTL_LOG_INFO, text); }
  void warn(std::string_view text) const { log(IMCTL_LOG_WARN, text); }
  void error(std::string_view text) const { log(IMCTL_LOG_ERROR, text); }
  bool log_enabled(imctl_log_level level) const { return raw_->log_enabled(raw_, level) != 0; }

  // Runs `work` on the module's pool, where it may block. RESOURCE_EXHAUSTED if the pool's queue is
  // full.
  Status post(std::function<void()> work) const {
    auto held = std::make_unique<std::function<void()>>(std::move(work));
    auto run = [](void* user) {
      std::unique_ptr<std::function<void()>> mine(static_cast<std::function<void()>*>(user));
      (*mine)();
    };
    if (pool_->post(raw_, run, held.get()) != IMCTL_OK) {
      return {IMCTL_RESOURCE_EXHAUSTED,
              "the module's pool is busy and its queue is full: try again, "
              "or raise pool_threads or pool_queue in its section"};
    }
    (void)held.release();
    return {};
  }
  bool on_pool_thread() const { return pool_->on_pool_thread(raw_) != 0; }
  const imctl_pool_table& pool() const { return *pool_; }

  Metric counter(std::string_view name, std::string_view help, std::string_view labels = {}) const {
    return metric(IMCTL_COUNTER, name, help, labels);
  }
  Metric gauge(std::string_view name, std::string_view help, std::string_view labels = {}) const {
    return metric(IMCTL_GAUGE, name, help, labels);
  }
  Metric histogram(std::string_view name, std::string_view help,
                   std::string_view labels = {}) const {
    return metric(IMCTL_HISTOGRAM, name, help, labels);
  }

  void set_health(bool serving, std::string_view reason = {}) const {
    health_->set(raw_, serving ? 1 : 0, to_str(reason));
  }

  Result<std::string> to_json(std::string_view type, std::string_view message) const {
    return convert(json_->to_json, type, message);
  }
  Result<std::string> from_json(std::string_view type, std::string_view json) const {
    return convert(json_->from_json, type, json);
  }

  void finish(imctl_call* call, const Status& status, Buffer reply) const {
    if (status.ok()) {
      raw_->finish(call, nullptr, reply.give());
    } else {
      imctl_status raw = status.raw();
      raw_->finish(call, &raw, nullptr);
    }
  }

 private:
  Metric metric(imctl_metric_kind kind, std::string_view name, std::string_view help,
                std::string_view labels) const {
    return {metrics_, metrics_->get(raw_, kind, to_str(name), to_str(labels), to_str(help))};
  }
  template <class Fn>
  Result<std::string> convert(Fn fn, std::string_view type, std::string_view input) const {
    imctl_error error{sizeof(imctl_error), 0, {}};
    Buffer out(raw_, fn(raw_, to_str(type), to_str(input), &error));
    if (!out) return Status(static_cast<imctl_code>(error.code), error.message);
    return std::string(out.view());
  }

  imctl_host* raw_;
  const imctl_call_table* call_;
  const imctl_client_table* client_;
  const imctl_pool_table* pool_;
  const imctl_metrics_table* metrics_;
  const imctl_health_table* health_;
  const imctl_json_table* json_;
};

// How a type crosses as bytes: protobuf messages, or a Buffer as it is.
template <class T>
struct Codec {
  static bool parse(const Buffer& from, T* to) {
    return from.size() <= INT32_MAX &&
           to->ParseFromArray(from.view().data(), static_cast<int>(from.size()));
  }
  static Buffer serialize(const Host& host, const T& from) {
    size_t size = from.ByteSizeLong();
    if (size > INT32_MAX) return {};
    Buffer to = host.buffer(size);
    if (to) from.SerializeWithCachedSizesToArray(to.data());
    return to;
  }
  static std::string name() { return T::default_instance().GetTypeName(); }
};

template <>
struct Codec<Buffer> {
  static bool parse(const Buffer& from, Buffer* to) {
    *to = from;
    return true;
  }
  static Buffer serialize(const Host&, Buffer from) { return from; }
  static std::string name() { return "bytes"; }
};

}  // namespace imctl

#endif  // IMCTL_HOST_H
