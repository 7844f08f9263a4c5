// The settings that all back ends have, in the form that their parts use. Each back end's Config
// message has them under the same names.
#ifndef IMCTL_STORAGE_SETTINGS_H
#define IMCTL_STORAGE_SETTINGS_H

#include <google/protobuf/duration.pb.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "engine.h"
#include "imctl/status.h"

namespace imctl::storage {

// `module` may use `collection` of another one.
struct Grant {
  std::string module;
  std::string collection;  // MODULE/COLLECTION or MODULE/*
};

// A value that may change while others read it.
template <class T>
class Live {
 public:
  Live() = default;
  Live(T value) : value_(value) {}  // NOLINT: meant to convert
  Live(const Live& other) : value_(other.get()) {}
  Live& operator=(const Live& other) {
    value_.store(other.get(), std::memory_order_relaxed);
    return *this;
  }
  T get() const { return value_.load(std::memory_order_relaxed); }
  operator T() const { return get(); }  // NOLINT: meant to convert

 private:
  std::atomic<T> value_{T{}};
};

struct CommonSettings {
  // These may change while the module runs.
  Live<std::chrono::milliseconds> clean_interval;
  Live<std::chrono::milliseconds> dump_idle;
  Live<size_t> max_batch;
  Live<size_t> max_message;
  Live<size_t> max_reply;
  Live<size_t> max_recipients;

  Retention retention;
  size_t queue_bytes = 0;
  std::vector<Grant> grants;
};

inline std::chrono::milliseconds to_ms(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) +
         std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::nanoseconds(duration.nanos()));
}

// Checks what concerns more than one field, and `record_grants`; the host has checked the rest.
// INVALID_ARGUMENT names the field.
Status finish_settings(std::vector<std::string> grants, CommonSettings* settings);

template <class Config>
Result<CommonSettings> common_settings(const Config& config) {
  CommonSettings settings;
  settings.retention.messages = to_ms(config.retention());
  settings.retention.mailboxes = to_ms(config.mailbox_retention());
  settings.retention.changes = config.watch_history();
  settings.clean_interval = to_ms(config.clean_interval());
  settings.dump_idle = to_ms(config.dump_idle_timeout());
  settings.max_batch = config.max_batch();
  settings.max_message = config.max_message();
  settings.max_reply = config.max_reply();
  settings.max_recipients = config.max_recipients();
  settings.queue_bytes = config.queue_bytes();
  Status status =
      finish_settings({config.record_grants().begin(), config.record_grants().end()}, &settings);
  if (!status.ok()) return status;
  return settings;
}

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SETTINGS_H
