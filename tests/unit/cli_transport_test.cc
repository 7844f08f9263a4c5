// Both ways to a host, with every kind of call.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "cli/embedded_transport.h"
#include "cli/grpc_transport.h"
#include "cli/http2_transport.h"
#include "grpc/front_end.h"
#include "imctl/status.h"
#include "in_process.h"

namespace imctl::host::cli {
namespace {

// imctl.test.echo.v1.Payload: text = 1, count = 3.
std::string payload(const std::string& text, int count = 0) {
  std::string bytes = "\x0a" + std::string(1, static_cast<char>(text.size())) + text;
  if (count != 0) bytes += std::string("\x18") + static_cast<char>(count);
  return bytes;
}

enum class Way { kGrpc, kHttp2, kEmbedded };

std::unique_ptr<Transport> to(const std::string& address) {
  Result<std::unique_ptr<Transport>> made = make_grpc_transport({address, false, {}});
  EXPECT_TRUE(made.ok());
  return std::move(*made);
}

std::unique_ptr<Transport> quickly_to(const std::string& address) {
  Result<std::unique_ptr<Transport>> made = make_http2_transport({address, false, {}});
  EXPECT_TRUE(made.ok());
  return std::move(*made);
}

class TransportTest : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    HostOptions options;
    options.set = {"host.data=" + folder_.path(), "host.module_path=" IMCTL_TEST_MODULES,
                   "host.modules=echo", "host.listen=none"};
    options.quiet = true;
    if (GetParam() == Way::kEmbedded) {
      Result<std::unique_ptr<Transport>> made = make_embedded_transport(options);
      ASSERT_TRUE(made.ok()) << made.status().message();
      transport_ = std::move(*made);
      return;
    }
    Result<std::unique_ptr<Host>> host = Host::open(options);
    ASSERT_TRUE(host.ok()) << host.status().message();
    host_ = std::move(*host);
    Result<std::unique_ptr<FrontEnd>> front = FrontEnd::start(*host_);
    ASSERT_TRUE(front.ok()) << front.status().message();
    front_ = std::move(*front);
    std::string address = "unix:" + folder_.path() + "/imctl.sock";
    transport_ = GetParam() == Way::kGrpc ? to(address) : quickly_to(address);
  }
  void TearDown() override {
    transport_.reset();
    if (front_ != nullptr) front_->close(std::chrono::system_clock::now());
    if (host_ != nullptr) (void)host_->stop();
    if (front_ != nullptr) front_->finish();
  }

  Status call(const std::string& method, std::vector<std::string> requests, bool client_streams,
              bool server_streams, std::chrono::nanoseconds timeout = {}) {
    CallRequest request;
    request.method = "/imctl.test.echo.v1.Echo/" + method;
    request.client_streams = client_streams;
    request.server_streams = server_streams;
    request.timeout = timeout;
    replies_.clear();
    auto next = std::make_shared<size_t>(0);
    return transport_->call(
        request,
        [requests = std::move(requests), next]() -> std::optional<std::string> {
          if (*next == requests.size()) return std::nullopt;
          return requests[(*next)++];
        },
        [this](std::string reply) {
          replies_.push_back(std::move(reply));
          return replies_.size() < stop_after_;
        });
  }

  TemporaryFolder folder_;
  std::unique_ptr<Host> host_;
  std::unique_ptr<FrontEnd> front_;
  std::unique_ptr<Transport> transport_;
  std::vector<std::string> replies_;
  size_t stop_after_ = SIZE_MAX;
};

TEST_P(TransportTest, EveryKindOfCall) {
  Status status = call("Unary", {payload("hi")}, false, false);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(replies_, (std::vector<std::string>{payload("hi")}));
  EXPECT_EQ(call("Source", {payload("s", 5)}, false, true).message(), "");
  EXPECT_EQ(replies_.size(), 5U);
  EXPECT_EQ(call("Sink", {payload("a"), payload("b")}, true, false).message(), "");
  EXPECT_EQ(replies_.size(), 1U);
  EXPECT_EQ(call("Chat", {payload("a"), payload("b"), payload("c")}, true, true).message(), "");
  EXPECT_EQ(replies_.size(), 3U);
}

TEST_P(TransportTest, ErrorsKeepTheirCode) {
  EXPECT_EQ(call("NoSuch", {""}, false, false).code(), IMCTL_UNIMPLEMENTED);
  EXPECT_EQ(call("Hang", {payload("x")}, false, false, std::chrono::milliseconds(50)).code(),
            IMCTL_DEADLINE_EXCEEDED);
}

TEST_P(TransportTest, AReaderMayStopAStreamWithoutEnd) {
  stop_after_ = 3;
  EXPECT_EQ(call("Source", {payload("s")}, false, true).code(), IMCTL_CANCELLED);
  EXPECT_GE(replies_.size(), 3U);
}

TEST_P(TransportTest, CancelFromAnotherThread) {
  std::thread canceller([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    transport_->cancel();
  });
  EXPECT_EQ(call("Hang", {payload("x")}, false, false).code(), IMCTL_CANCELLED);
  canceller.join();
}

INSTANTIATE_TEST_SUITE_P(All, TransportTest,
                         testing::Values(Way::kGrpc, Way::kHttp2, Way::kEmbedded),
                         [](const auto& info) {
                           return info.param == Way::kGrpc    ? "Grpc"
                                  : info.param == Way::kHttp2 ? "Http2"
                                                              : "Embedded";
                         });

// Takes one connection, says what it was made with, and stays.
class Mute {
 public:
  explicit Mute(std::string words) : words_(std::move(words)) {
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    thread_ = std::thread([this] {
      int peer = accept(listener_, nullptr, nullptr);
      EXPECT_EQ(write(peer, words_.data(), words_.size()), static_cast<ssize_t>(words_.size()));
      std::array<char, 1024> said{};
      while (read(peer, said.data(), said.size()) > 0) {
      }
      close(peer);
    });
  }
  ~Mute() {
    thread_.join();  // the client has left
    close(listener_);
  }
  std::string path() const { return folder_.path() + "/mute.sock"; }

 private:
  const std::string words_;
  TemporaryFolder folder_;
  int listener_ = -1;
  std::thread thread_;
};

TEST(Transports, WhatSpeaksNoHttp2IsNoHost) {
  Mute server("HTTP/1.1 400 Bad Request\r\n\r\n");
  std::unique_ptr<Transport> transport = quickly_to("unix:" + server.path());
  CallRequest request;
  request.method = "/imctl.test.echo.v1.Echo/Say";
  Status status = transport->call(
      request, [] { return std::optional<std::string>(); }, [](const std::string&) { return true; });
  EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE) << status.message();
  EXPECT_NE(status.message().find("HTTP/2"), std::string::npos) << status.message();
  transport.reset();
}

TEST(Transports, NobodyThere) {
  TemporaryFolder folder;
  std::string address = "unix:" + folder.path() + "/none.sock";
  std::vector<std::unique_ptr<Transport>> transports;
  transports.push_back(to(address));
  transports.push_back(quickly_to(address));
  for (const auto& transport : transports) {
    auto start = std::chrono::steady_clock::now();
    Status status = transport->call(
        {"/a.B/C"}, [] { return std::optional<std::string>(""); },
        [](const std::string&) { return true; });
    EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE);
    EXPECT_NE(status.message().find("no host answers at unix:" + folder.path()), std::string::npos);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  }
}

}  // namespace
}  // namespace imctl::host::cli
