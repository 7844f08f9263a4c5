// A host in this process to test a module in, typed. What it does is said in testing_c.h.
//
//   imctl::testing::Host host(IMCTL_TEST_MODULE, {.store = imctl::testing::Store::kMemory});
//   auto reply = host.call<HelloReply>("/demo.v1.Greeter/Hello", request);
//   IMCTL_CHECK(reply.ok());
//
// A test is a program that returns 0; IMCTL_CHECK ends it with 1. With GoogleTest, or whatever you
// like better, use its own checks.
#ifndef IMCTL_TESTING_H
#define IMCTL_TESTING_H

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imctl/status.h"
#include "imctl/testing_c.h"

#define IMCTL_CHECK(condition)                                                                 \
  ((condition) ? static_cast<void>(0)                                                          \
               : (std::fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition), \
                  std::exit(1)))

namespace imctl::testing {

enum class Store {
  kNone = IMCTL_TEST_NO_STORE,
  kMemory = IMCTL_TEST_MEMORY,
  kSqlite = IMCTL_TEST_SQLITE
};

struct HostOptions {
  Store store = Store::kNone;
  std::vector<std::string> settings = {};  // "section.key=value"
  std::vector<std::string> modules = {};   // more of them: paths, or names of installed ones
  std::string folder = {};                 // empty: a temporary one
  bool isolate = false;
};

struct CallOptions {
  imctl_principal_kind kind = IMCTL_PRINCIPAL_ADMIN;
  std::string principal = "test";
  std::chrono::milliseconds timeout{0};  // 0: half a minute
  bool dry_run = false;
  std::vector<imctl_metadata> metadata = {};
};

// As a user who is logged in.
inline CallOptions as_user(std::string user) {
  return {.kind = IMCTL_PRINCIPAL_USER, .principal = std::move(user)};
}

// One call, of any kind.
template <class Request, class Reply>
class Call {
 public:
  Call(imctl_test_host* host, const std::string& method, const Request* request,
       const CallOptions& options) {
    imctl_test_call_options raw{sizeof(imctl_test_call_options), options.kind,
                                options.principal.c_str(),       options.timeout.count(),
                                options.dry_run ? 1 : 0,         options.metadata.data(),
                                options.metadata.size()};
    std::string bytes = request == nullptr ? std::string() : request->SerializeAsString();
    call_.reset(imctl_test_start(host, method.c_str(), request == nullptr ? nullptr : bytes.data(),
                                 bytes.size(), &raw));
  }

  // False: the call is over.
  bool write(const Request& message) {
    std::string bytes = message.SerializeAsString();
    return imctl_test_write(call_.get(), bytes.data(), bytes.size()) != 0;
  }
  void writes_done() { imctl_test_writes_done(call_.get()); }
  // Nothing: no more come, or it is none of these.
  std::optional<Reply> read() {
    const void* data = nullptr;
    size_t size = 0;
    Reply message;
    if (imctl_test_read(call_.get(), &data, &size) == 0 ||
        !message.ParseFromArray(data, static_cast<int>(size))) {
      return std::nullopt;
    }
    return message;
  }
  void cancel() { imctl_test_cancel(call_.get()); }
  // Waits for the end. Of a stream of replies, read them first.
  Status finish() {
    imctl_status status;
    imctl_test_finish(call_.get(), &status, nullptr);
    return Status(&status);
  }
  // The same of a call with one reply.
  Result<Reply> reply() {
    imctl_status status;
    imctl_str bytes;
    if (imctl_test_finish(call_.get(), &status, &bytes) != IMCTL_OK) return Status(&status);
    Reply reply;
    if (!reply.ParseFromArray(bytes.data, static_cast<int>(bytes.size))) {
      return Status(IMCTL_INTERNAL, "the reply is not a valid " + reply.GetTypeName());
    }
    return reply;
  }
  std::string trailer(const std::string& key) const {
    return std::string(to_view(imctl_test_trailer(call_.get(), key.c_str())));
  }

 private:
  struct Release {
    void operator()(imctl_test_call* call) const { imctl_test_release(call); }
  };
  std::unique_ptr<imctl_test_call, Release> call_;
};

class Host {
 public:
  // `module`: the path of a shared object. Ends the program if it cannot be loaded, and says why;
  // open() lets one look at that.
  explicit Host(const std::string& module, const HostOptions& options = {}) {
    Status status = open(module, options);
    if (status.ok()) return;
    std::fprintf(stderr, "%s\n", status.message().c_str());
    std::exit(1);
  }
  Host() = default;
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  // Ends the program if the module did not stop as it should; close() lets one look at that.
  ~Host() {
    Status status = close();
    if (status.ok()) return;
    std::fprintf(stderr, "%s\n", status.message().c_str());
    std::exit(1);
  }

  Status open(const std::string& module, const HostOptions& options = {}) {
    std::vector<const char*> modules;
    std::vector<const char*> settings;
    for (const std::string& name : options.modules) modules.push_back(name.c_str());
    modules.push_back(module.c_str());
    for (const std::string& setting : options.settings) settings.push_back(setting.c_str());
    imctl_test_options raw{sizeof(imctl_test_options),
                           static_cast<int32_t>(options.store),
                           modules.data(),
                           modules.size(),
                           settings.data(),
                           settings.size(),
                           options.folder.empty() ? nullptr : options.folder.c_str(),
                           options.isolate ? 1 : 0};
    char error[4096];
    host_ = imctl_test_open(&raw, error, sizeof(error));
    if (host_ == nullptr) return {IMCTL_FAILED_PRECONDITION, error};
    return {};
  }
  Status close() {
    imctl_test_host* host = std::exchange(host_, nullptr);
    char error[4096] = "";
    if (host == nullptr || imctl_test_close(host, error, sizeof(error)) == 0) return {};
    return {IMCTL_FAILED_PRECONDITION, error};
  }
  Status reload(const std::string& module) {
    char error[4096] = "";
    if (imctl_test_reload(host_, module.c_str(), error, sizeof(error)) == 0) return {};
    return {IMCTL_FAILED_PRECONDITION, error};
  }

  // A unary call.
  template <class Reply, class Request>
  Result<Reply> call(const std::string& method, const Request& request,
                     const CallOptions& options = {}) {
    return Call<Request, Reply>(host_, method, &request, options).reply();
  }
  // One whose server streams.
  template <class Reply, class Request>
  Call<Request, Reply> server_stream(const std::string& method, const Request& request,
                                     const CallOptions& options = {}) {
    return {host_, method, &request, options};
  }
  // One whose client streams, or both do.
  template <class Request, class Reply>
  Call<Request, Reply> stream(const std::string& method, const CallOptions& options = {}) {
    return {host_, method, nullptr, options};
  }

  bool logged(const std::string& text) const { return imctl_test_logged(host_, text.c_str()) != 0; }
  imctl_test_host* raw() const { return host_; }

 private:
  imctl_test_host* host_ = nullptr;
};

}  // namespace imctl::testing

#endif  // IMCTL_TESTING_H
