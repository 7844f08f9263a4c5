// A call made by a thread that waits for what comes of it: for those who have no use for events.
#ifndef IMCTL_HOST_ROAD_WAITING_CALL_H
#define IMCTL_HOST_ROAD_WAITING_CALL_H

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "road/call.h"
#include "road/dispatcher.h"

namespace imctl::host {

// Reads, writes and the end are waited for by one thread each. Lives until the end was waited for.
class WaitingCall : public Caller {
 public:
  WaitingCall(Dispatcher& dispatcher, CallParams params)
      : dispatcher_(dispatcher), call_(new Call(std::move(params), this)) {}

  void start() { dispatcher_.start(*call_.get()); }
  void cancel() { call_->cancel(IMCTL_CANCELLED, "interrupted"); }

  const std::string& id() const { return call_->params().call_id; }

  // Waits until the message is accepted; false: the call is over.
  bool write(const std::string& bytes) {
    offer(bytes);
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return written_.has_value() || finished_; });
    return written_.value_or(false);
  }
  // Waits so long at most. Nothing: it is not accepted yet, and no other may be written.
  std::optional<bool> write_within(const std::string& bytes, std::chrono::milliseconds time) {
    offer(bytes);
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, time, [this] { return written_.has_value() || finished_; })) {
      return std::nullopt;
    }
    return written_.value_or(false);
  }
  void writes_done() { call_->caller_writes_done(); }

  // The next message of a stream; nothing: no more.
  std::optional<std::string> read() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      answered_ = false;
      message_.reset();
    }
    call_->caller_read();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return answered_ || finished_; });
    return std::exchange(message_, std::nullopt);
  }

  // Waits for the end, once; `reply`: the message of a unary or client-streaming call that went
  // well.
  Status end(std::string* reply) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return finished_; });
    *reply = std::move(reply_);
    return status_;
  }
  bool ends_within(std::chrono::milliseconds time) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, time, [this] { return finished_; });
  }
  // Would read() give a message at once?
  bool has_message() const { return call_->has_message(); }
  // Has the module ended it too? It may do so later than the caller hears of it.
  bool callee_ended() const { return call_->callee_ended(); }
  // Of the reply's trailing metadata; after the end.
  std::string_view trailer(std::string_view key) const { return call_->trailer(key); }

  void on_message(BufferRef message, bool /*more*/) override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (message) message_.emplace(message.view());
    answered_ = true;
    changed_.notify_all();
  }
  void on_written(bool accepted) override {
    std::lock_guard<std::mutex> lock(mutex_);
    written_ = accepted;
    changed_.notify_all();
  }
  void on_finish(const Status& status, BufferRef reply) override {
    std::lock_guard<std::mutex> lock(mutex_);
    status_ = status;
    reply_ = reply.view();
    finished_ = true;
    changed_.notify_all();
  }

 private:
  void offer(const std::string& bytes) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      written_.reset();
      if (finished_) return;
    }
    call_->caller_write(BufferRef::copy_of(bytes));
  }

  Dispatcher& dispatcher_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<bool> written_;
  bool answered_ = false;
  bool finished_ = false;
  // Copies: a buffer may be the module's own memory, and would keep it from being stopped.
  std::optional<std::string> message_;
  std::string reply_;
  Status status_;
  CallRef call_;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_ROAD_WAITING_CALL_H
