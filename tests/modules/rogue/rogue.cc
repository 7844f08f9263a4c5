#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "imctl/sdk.h"
#include "rogue.pb.h"

namespace {

using imctl::Context;
using imctl::Responder;
using imctl::Result;
using imctl::Status;
using imctl::Stream;
using imctl::Task;
using imctl::Writer;
using namespace imctl::test::rogue::v1;  // NOLINT: all that this file is about

[[noreturn]] void spin() {
  static std::atomic<uint64_t> turns{0};
  for (;;) turns.fetch_add(1, std::memory_order_relaxed);
}

void die() {
  // Not through a null pointer: a sanitizer would see that first.
  void* nothing = mmap(nullptr, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *static_cast<volatile int*>(nothing) = 1;
}

int deep(int n) {  // NOLINT: no end is the point
  volatile char room[1024];
  room[0] = static_cast<char>(n);
  if (n < 0) return 0;  // after more stack than there is
  return deep(n + 1) + room[0];
}

class Rogue : public imctl::Module {
 public:
  explicit Rogue(const imctl::Host& handle)
      : Module(handle),
        calls_(handle.counter("rogue_calls_total", "Calls")),
        level_(handle.gauge("rogue_level", "A level")),
        times_(handle.histogram("rogue_seconds", "Times")) {
    serve("/imctl.test.rogue.v1.Rogue/Echo", &Rogue::echo);
    serve("/imctl.test.rogue.v1.Rogue/EchoBlocking", &Rogue::echo);
    serve("/imctl.test.rogue.v1.Rogue/Stream", &Rogue::stream);
    serve("/imctl.test.rogue.v1.Rogue/Chat", &Rogue::chat);
    serve("/imctl.test.rogue.v1.Rogue/Follow", &Rogue::follow);
    serve("/imctl.test.rogue.v1.Rogue/Slow", &Rogue::slow);
    serve("/imctl.test.rogue.v1.Rogue/Keep", &Rogue::keep);
    serve("/imctl.test.rogue.v1.Rogue/Segv", &Rogue::segv);
    serve("/imctl.test.rogue.v1.Rogue/SegvOnPool", &Rogue::segv);
    serve("/imctl.test.rogue.v1.Rogue/Abort", &Rogue::abort);
    serve("/imctl.test.rogue.v1.Rogue/Exit", &Rogue::exit);
    serve("/imctl.test.rogue.v1.Rogue/Spin", &Rogue::spin_call);
    serve("/imctl.test.rogue.v1.Rogue/Deep", &Rogue::deep_call);
    serve("/imctl.test.rogue.v1.Rogue/Hog", &Rogue::hog);
    serve("/imctl.test.rogue.v1.Rogue/Print", &Rogue::print);
    serve("/imctl.test.rogue.v1.Rogue/Health", &Rogue::health);
    serve("/imctl.test.rogue.v1.Rogue/Count", &Rogue::count);
    serve("/imctl.test.rogue.v1.Rogue/Json", &Rogue::json);
    serve("/imctl.test.rogue.v1.Rogue/Look", &Rogue::look);
    serve("/imctl.test.rogue.v1.Rogue/Babble", &Rogue::babble);
    serve("/imctl.test.rogue.v1.Rogue/Call", &Rogue::call);
  }

  Status prepare(const imctl::Settings& settings) override {
    config_ = settings.as<Config>();
    return misbehave("prepare");
  }
  Status activate() override {
    if (!config_.count_file().empty()) {
      std::ofstream(config_.count_file(), std::ios::app) << "x";
      std::ifstream file(config_.count_file(), std::ios::ate);
      if (file.tellg() > 1) die();
    }
    return misbehave("activate");
  }
  Status quiesce() override { return misbehave("quiesce"); }

 private:
  Status misbehave(const std::string& step) {
    if (config_.step() != step) return {};
    if (config_.how() == "dies") die();
    if (config_.how() == "hangs") spin();
    return {IMCTL_FAILED_PRECONDITION, "it does not want to"};
  }

  Result<Bytes> echo(const Bytes& request, const Context&) { return request; }

  Task<Status> stream(const Bytes& request, Writer<Bytes>& writer) {
    Bytes message;
    message.set_data(request.data());
    for (uint32_t i = 0; request.count() == 0 || i < request.count(); ++i) {
      message.set_count(i);
      if (!co_await writer.write(message)) co_return Status(IMCTL_CANCELLED, "gone");
    }
    co_return Status();
  }
  Task<Status> chat(Stream<Bytes, Bytes>& stream) {
    while (std::optional<Bytes> message = co_await stream.read()) {
      if (!co_await stream.write(*message)) break;
    }
    co_return Status();
  }
  Task<Status> follow(const Bytes&, Writer<Bytes>& writer) {
    auto moving = std::make_shared<imctl::Event>();
    writer.on_moving([moving] { moving->set(); });
    writer.on_cancel([moving](imctl_code) { moving->set(); });
    Bytes message;
    message.set_count(1);
    co_await writer.write(message);
    co_await *moving;
    writer.context().add_trailer(IMCTL_RESUME_KEY, "from here");
    co_return Status(IMCTL_UNAVAILABLE, "moved");
  }

  Result<Bytes> slow(const Bytes& request, const Context&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(request.count()));
    return request;
  }
  void keep(const Bytes&, const Context&, Responder<Bytes> responder) {
    std::lock_guard lock(mutex_);
    kept_.push_back(std::move(responder));
  }

  Result<Bytes> segv(const Bytes& request, const Context&) {
    die();
    return request;
  }
  Result<Bytes> abort(const Bytes&, const Context&) { std::abort(); }
  Result<Bytes> exit(const Bytes& request, const Context&) {
    _exit(static_cast<int>(request.count()));
  }
  Result<Bytes> spin_call(const Bytes&, const Context&) { spin(); }
  Result<Bytes> deep_call(const Bytes& request, const Context&) {
    Bytes reply = request;
    reply.set_count(static_cast<uint32_t>(deep(0)));
    return reply;
  }
  Result<Bytes> hog(const Bytes&, const Context&) {
    constexpr size_t kPiece = size_t{16} << 20;
    for (;;) {
      auto* piece = static_cast<char*>(std::malloc(kPiece));  // NOLINT: never freed
      if (piece == nullptr) std::abort();
      std::memset(piece, 1, kPiece);
    }
  }

  Result<Bytes> print(const Bytes& request, const Context&) {
    (void)fprintf(stdout, "%s\n", request.data().c_str());
    (void)fflush(stdout);
    for (uint32_t i = 0; i < request.count(); ++i) {
      (void)fprintf(stderr, "%s %u\n", request.data().c_str(), i);
    }
    return request;
  }
  Result<Bytes> health(const Bytes& request, const Context&) {
    host().set_health(request.count() != 0, request.data());
    return request;
  }
  Result<Bytes> count(const Bytes& request, const Context& context) {
    calls_.add(request.count());
    level_.set(request.count());
    times_.observe(0.003);
    host().log(IMCTL_LOG_WARN, "counted", context.call());
    return request;
  }
  Result<Bytes> json(const Bytes& request, const Context&) {
    Result<std::string> json =
        host().to_json("imctl.test.rogue.v1.Bytes", request.SerializeAsString());
    if (!json.ok()) return json.status();
    Result<std::string> back = host().from_json("imctl.test.rogue.v1.Bytes", *json);
    if (!back.ok()) return back.status();
    Bytes reply;
    reply.ParseFromString(*back);
    if (host().to_json("no.such.Message", "").ok()) reply.Clear();
    return reply;
  }

  Result<Report> look(const Bytes&, const Context&) {
    Report report;
    report.set_pid(getpid());
    auto tell = [&](const std::string& line) { report.add_lines(line); };
    DIR* folder = opendir("/proc/self/fd");
    while (const dirent* entry = readdir(folder)) {
      if (entry->d_name[0] == '.' || atoi(entry->d_name) == dirfd(folder)) continue;
      std::string path = std::string("/proc/self/fd/") + entry->d_name;
      char target[200] = {};
      if (readlink(path.c_str(), target, sizeof(target) - 1) > 0) {
        tell(std::string("fd ") + entry->d_name + " " + target);
      }
    }
    closedir(folder);
    tell(std::string("kill ") + (kill(getppid(), 0) == 0 ? "allowed" : strerror(errno)));
    pid_t child = fork();
    if (child == 0) _exit(0);
    tell(std::string("fork ") + (child > 0 ? "allowed" : strerror(errno)));
    char program[] = "/bin/true";
    char* arguments[] = {program, nullptr};
    tell(std::string("exec ") + (execv(program, arguments) == 0 ? "" : strerror(errno)));
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    tell("files " + std::to_string(files.rlim_cur));
    tell("nice " + std::to_string(getpriority(PRIO_PROCESS, 0)));
    for (char** variable = environ; *variable != nullptr; ++variable) {
      tell(std::string("env ") + *variable);
    }
    return report;
  }

  Result<Bytes> babble(const Bytes& request, const Context&) {
    constexpr int kLink = 3;
    std::string bytes(4096, 'x');
    if (write(kLink, bytes.data(), bytes.size()) < 0) std::abort();
    return request;
  }

  Task<Result<Bytes>> call(const Bytes& request, const Context&) {
    imctl::Method<Bytes, Bytes> method(host(), request.data());
    co_return co_await method(Bytes());
  }

  imctl::Metric calls_, level_, times_;
  Config config_;
  std::mutex mutex_;
  std::vector<Responder<Bytes>> kept_;
};

}  // namespace

IMCTL_MODULE(Rogue)
