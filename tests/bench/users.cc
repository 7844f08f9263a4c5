#include "users.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sodium.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "storage_host.h"
#include "stored_users.h"

namespace imctl::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kFew = 1000;
constexpr uint64_t kWithPassword = 100;
constexpr uint64_t kAPage = 10;
constexpr size_t kInFlight = 8;
constexpr size_t kWritesACommit = 500;
constexpr std::chrono::milliseconds kRound{1000};
constexpr char kPassword[] = "correct horse";
constexpr size_t kIdDigits = 24;
constexpr uint64_t kFarAway = 4'000'000'000;  // a time

std::string password_name(uint64_t number) { return "login" + digits(number, 2) + "@localhost"; }
// Of all tokens here.
std::string secret() { return std::string(64, 'a'); }

std::string stored_token(uint64_t number) {
  std::string hash(32, '\0');
  const std::string text = secret();
  crypto_generichash(reinterpret_cast<unsigned char*>(hash.data()), hash.size(),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size(), nullptr, 0);
  std::string token;
  append_bytes(&token, 1, digits(number, kIdDigits));
  append_bytes(&token, 2, user_name(number));
  append_number(&token, 3, kUid);
  append_bytes(&token, 4, hash);
  append_number(&token, 7, 1'700'000'000);
  append_number(&token, 8, kFarAway);
  return token;
}

class UsersHost {
 public:
  explicit UsersHost(uint64_t users)
      : host_("storage-sqlite,user", {"user.argon2_memory=8KiB", "user.argon2_time=1",
                                      "user.scram_iterations=4096", "user.last_seen=0s"}),
        users_(users),
        stub_(grpc::CreateChannel(host_.address(), grpc::InsecureChannelCredentials())) {
    fill();
  }

  Load get() {
    Shape shape{"/imctl.user.v1.Users/Get", {}, {}, {}};
    append_bytes(&shape.request, 1, user_name(0));
    shape.patch = patch_digits(shape.request.find("u0") + 1);
    shape.good = not_empty();
    return measure(shape);
  }

  Load authenticate() {
    Shape shape{"/imctl.auth.v1.Authenticator/Authenticate", {}, {}, {}};
    append_bytes(&shape.request, 1, "imctl_" + digits(0, kIdDigits) + "_" + secret());
    shape.patch = patch_digits(shape.request.find("imctl_") + 6 + kIdDigits - kNameDigits);
    shape.good = not_empty();
    return measure(shape);
  }

  Load login() {
    Shape shape{"/imctl.auth.v1.Login/Login", {}, {}, {}};
    append_bytes(&shape.request, 1, password_name(0));
    append_bytes(&shape.request, 2, kPassword);
    append_bytes(&shape.request, 3, "bench");
    const size_t place = shape.request.find("login") + 5;
    shape.patch = [this, place](char* request) {
      digits(random_.below(kWithPassword), 2).copy(request + place, 2);
    };
    shape.good = not_empty();
    return measure(shape);
  }

  // Streams of kAPage users, one after another.
  Load list() {
    std::vector<double> micros;
    const Clock::time_point begin = Clock::now();
    while (Clock::now() < begin + kRound) {
      const Clock::time_point start = Clock::now();
      std::string request;
      append_bytes(&request, 1, "u" + digits(random_.below(users_ / kAPage), kNameDigits - 1));
      if (stream("/imctl.user.v1.Users/List", request) != kAPage) {
        throw std::runtime_error("Users/List: unexpected answer");
      }
      micros.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    std::sort(micros.begin(), micros.end());
    return {static_cast<double>(micros.size()) / seconds, micros[micros.size() / 2],
            micros[micros.size() * 99 / 100]};
  }

 private:
  static std::function<bool(const grpc::ByteBuffer&)> not_empty() {
    return [](const grpc::ByteBuffer& reply) { return reply.Length() > 0; };
  }
  std::function<void(char*)> patch_digits(size_t place) {
    return [this, place](char* request) {
      digits(random_.below(users_), kNameDigits).copy(request + place, kNameDigits);
    };
  }
  Load measure(const Shape& shape) { return host_.caller().run(shape, kInFlight, during(kRound)); }

  void fill() {
    for (uint64_t from = 0; from < users_; from += kWritesACommit / 2) {
      std::string commit;
      for (uint64_t i = from; i < std::min(users_, from + kWritesACommit / 2); ++i) {
        append_put(&commit, "user/users", user_name(i), stored_user(i), {});
        append_put(&commit, "user/tokens", digits(i, kIdDigits), stored_token(i),
                   {{"user", user_name(i)}, {"expires", digits(kFarAway, 15)}});
      }
      host_.caller().call("/imctl.storage.v1.Records/Commit", commit);
    }
    for (uint64_t i = 0; i < kWithPassword; ++i) {
      std::string add;
      append_bytes(&add, 1, password_name(i));
      append_bytes(&add, 5, kPassword);
      host_.caller().call("/imctl.user.v1.Users/Add", add);
    }
  }

  // How many answers came.
  uint64_t stream(const std::string& method, const std::string& request) {
    grpc::CompletionQueue queue;
    grpc::ClientContext context;
    auto next = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    auto call = stub_.PrepareCall(&context, method, &queue);
    call->StartCall(nullptr);
    (void)next();
    grpc::Slice slice(request);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
    (void)next();
    uint64_t count = 0;
    grpc::ByteBuffer reply;
    for (call->Read(&reply, nullptr); next(); call->Read(&reply, nullptr)) ++count;
    grpc::Status status;
    call->Finish(&status, nullptr);
    (void)next();
    if (!status.ok()) throw std::runtime_error(method + ": " + status.error_message());
    return count;
  }

  StorageHost host_;
  const uint64_t users_;
  grpc::GenericStub stub_;
  Random random_;
};

}  // namespace

void measure_users(std::vector<Figure>* figures, int rounds, uint64_t users) {
  if (sodium_init() < 0) throw std::runtime_error("libsodium does not start");
  UsersHost few(kFew);
  UsersHost many(users);
  const std::string against = std::to_string(kFew) + " users";
  const std::string count = std::to_string(users) + " users, ";
  struct Part {
    const char* name;
    Load (UsersHost::*measure)();
    const char* unit;
  };
  for (const Part& part : {Part{"get", &UsersHost::get, "calls/s"},
                           Part{"login (cheapest hash)", &UsersHost::login, "calls/s"},
                           Part{"Authenticate", &UsersHost::authenticate, "calls/s"},
                           Part{"list --prefix of 10", &UsersHost::list, "lists/s"}}) {
    Turns turns;
    auto ours = [&] { return (many.*part.measure)(); };
    auto theirs = [&] { return (few.*part.measure)(); };
    ours();  // warm
    theirs();
    turns.run(ours, theirs, rounds);
    const std::string name = count + part.name;
    figures->push_back(turns.rate(name, part.unit, against, 0.7));
    figures->push_back(turns.p99(name, against));
  }
}

}  // namespace imctl::bench
