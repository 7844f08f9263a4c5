// A host in this process, and calls of it that wait.
#ifndef IMCTL_TESTS_UNIT_IN_PROCESS_H
#define IMCTL_TESTS_UNIT_IN_PROCESS_H

#include <gtest/gtest.h>
#include <stdlib.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/host.h"
#include "road/call.h"

namespace imctl::host {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "imctl-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A host over test modules, in a folder of its own.
class InProcess {
 public:
  explicit InProcess(const std::string& modules, std::vector<std::string> set = {},
                     const std::string& module_path = IMCTL_TEST_MODULES) {
    HostOptions options;
    options.set = {"host.data=" + folder_.path(), "host.module_path=" + module_path,
                   "host.modules=" + modules};
    // In this process, but for the tests of the other way.
    const char* isolate = getenv("IMCTL_TEST_ISOLATE");
    for (const char* name : {"echo", "twin-a", "twin-b"}) {
      options.set.push_back(std::string(name) +
                            ".isolate=" + (isolate == nullptr ? "no" : isolate));
    }
    options.set.insert(options.set.end(), set.begin(), set.end());
    options.quiet = true;
    Result<std::unique_ptr<Host>> opened = Host::open(options);
    status = opened.status();
    if (opened.ok()) host = std::move(*opened);
  }

  Status status;
  std::unique_ptr<Host> host;

 private:
  TemporaryFolder folder_;
};

// The caller's end of one call; every function may wait.
class TestCall final : public Caller {
 public:
  TestCall(Host& host, const std::string& method, const std::string& request,
           bool client_streams = false, CallParams params = {}) {
    params.target = host.methods().slot(method);
    // Whoever says where the call comes from says who makes it too.
    if (params.principal_kind == IMCTL_PRINCIPAL_NONE && params.peer.empty())
      params.principal_kind = IMCTL_PRINCIPAL_ADMIN;
    params.watch_deadline = true;
    if (!client_streams) params.request = BufferRef::copy_of(request);
    call_ = CallRef(new Call(std::move(params), this));
    host.dispatcher().start(*call_.get());
  }
  ~TestCall() override {
    call_->cancel(IMCTL_CANCELLED, "the test is over");
    (void)wait();
  }

  // Nothing at the end.
  std::optional<std::string> read() {
    call_->caller_read();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return read_ || finished_; });
    if (!read_) return std::nullopt;
    std::optional<std::string> message = std::move(*read_);
    read_.reset();
    return message;
  }
  // True when accepted; nothing if that did not happen within `wait`.
  std::optional<bool> write(const std::string& message,
                            std::chrono::milliseconds wait = std::chrono::seconds(30)) {
    call_->caller_write(BufferRef::copy_of(message));
    return written(wait);
  }
  // The answer to a write that had none yet.
  std::optional<bool> written(std::chrono::milliseconds wait) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, wait, [this] { return written_ || finished_; });
    return std::exchange(written_, std::nullopt);
  }
  void writes_done() { call_->caller_writes_done(); }
  void cancel() { call_->cancel(IMCTL_CANCELLED, "cancelled by the test"); }

  Status wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return finished_; });
    return final_;
  }
  bool finished() {
    std::lock_guard lock(mutex_);
    return finished_;
  }
  const std::string& reply() const { return reply_; }
  const Metadata& trailers() const { return call_->trailers(); }

  void on_message(BufferRef message, bool /*more*/) override {
    std::lock_guard lock(mutex_);
    read_.emplace(message ? std::optional<std::string>(message.view()) : std::nullopt);
    changed_.notify_all();
  }
  void on_written(bool accepted) override {
    std::lock_guard lock(mutex_);
    written_ = accepted;
    changed_.notify_all();
  }
  void on_finish(const Status& status, BufferRef reply) override {
    std::lock_guard lock(mutex_);
    final_ = status;
    reply_ = reply.view();
    finished_ = true;
    changed_.notify_all();
  }

 private:
  CallRef call_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::optional<std::string>> read_;
  std::optional<bool> written_;
  bool finished_ = false;
  Status final_;
  std::string reply_;
};

// One unary call with messages.
template <class Reply, class Request>
Result<Reply> call(Host& host, const std::string& method, const Request& request,
                   CallParams params = {}) {
  TestCall made(host, method, request.SerializeAsString(), false, std::move(params));
  Status status = made.wait();
  if (!status.ok()) return status;
  Reply reply;
  EXPECT_TRUE(reply.ParseFromString(made.reply()));
  return reply;
}

}  // namespace imctl::host

#endif  // IMCTL_TESTS_UNIT_IN_PROCESS_H
