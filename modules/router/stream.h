// A bidirectional stream over the ABI, driven by a Loop: what is said to it is said on the loop,
// and what it tells, but for what arrives, it tells there.
#ifndef IMCTL_ROUTER_STREAM_H
#define IMCTL_ROUTER_STREAM_H

#include <atomic>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "imctl/call.h"
#include "loop.h"

namespace imctl::router {

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(const Host& host, Loop* loop) : host_(host), loop_(loop) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;

  // ---- on the loop
  // Asks for one message. When one was asked for and did not arrive yet, nothing happens.
  void read();
  // `size` comes back in written() when the stream has taken the message. An empty one, for which
  // there was no memory, breaks the stream: nothing is left out of it.
  void write(Buffer message, size_t size);
  // Nothing is written any more, and the stream ends: when all that was written is taken, or at
  // once. After it, nothing is told any more but released(). A second one can only have it end at
  // once.
  void end(Status status, bool at_once);
  bool is_open() const { return open_; }
  // It waits for its last messages to be taken.
  bool is_ending() const { return ending_.has_value(); }
  size_t queued() const { return queued_; }
  const Host& host() const { return host_; }

 protected:
  // ---- told from any thread
  // A message; an empty Buffer: no more come.
  virtual void arrived(Buffer message) = 0;
  // ---- told on the loop
  virtual void written(Time now, size_t size) = 0;
  // It is over, and whoever is at the other end knows. Not after end().
  virtual void broken(Time now, const Status& status) = 0;
  // The stream's memory may go.
  virtual void released() {}

  Loop* loop() const { return loop_; }

  // ---- of the two kinds below. The other functions of the ABI are called on the loop only, so
  // none of them comes after the end.
  virtual void abi_read() = 0;
  virtual void abi_write(imctl_buffer* message) = 0;
  virtual void abi_end(const Status& status) = 0;
  void on_message(imctl_buffer* message);
  void on_written(bool accepted);
  void on_broken(Status status);
  void on_released();
  // Until on_released.
  void keep() { self_ = shared_from_this(); }

 private:
  struct Out {
    Buffer message;
    size_t size;
  };
  void pump(Time now);

  const Host host_;
  Loop* const loop_;
  std::shared_ptr<Stream> self_;
  // Of the loop.
  std::list<Out> out_;
  size_t queued_ = 0;  // of out_
  bool open_ = true;
  bool writing_ = false;
  std::optional<Status> ending_;
  std::atomic<bool> reading_{false};
  std::atomic<bool> met_{false};  // of the write's return and its answer, the second goes on
  bool accepted_ = false;         // the answer
};

// One that this module serves.
class ServedStream : public Stream {
 public:
  using Stream::Stream;
  // From the handler, before it returns. Then read() is to be called, on the loop.
  void serve(imctl_call* call);

 protected:
  imctl_call* call() const { return call_; }

 private:
  void abi_read() override;
  void abi_write(imctl_buffer* message) override;
  void abi_end(const Status& status) override;

  imctl_call* call_ = nullptr;
};

// One that this module opens.
class DialedStream : public Stream {
 public:
  using Stream::Stream;
  ~DialedStream() override;
  void dial(const imctl_target* target);

 private:
  void abi_read() override;
  void abi_write(imctl_buffer* message) override;
  void abi_end(const Status& status) override;

  std::atomic<imctl_client_call*> call_{nullptr};
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_STREAM_H
