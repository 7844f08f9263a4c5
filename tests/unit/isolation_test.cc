// Modules in processes of their own.
#include <dirent.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "echo.pb.h"
#include "in_process.h"
#include "rogue.pb.h"

namespace imctl::host {
namespace {

using imctl::test::echo::v1::Payload;
using imctl::test::echo::v1::Seen;
using imctl::test::rogue::v1::Bytes;
using imctl::test::rogue::v1::Report;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

const std::string kRogue = "/imctl.test.rogue.v1.Rogue/";
const std::string kEcho = "/imctl.test.echo.v1.Echo/";

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// The cases of calls_test.cc, which this program has too, isolate what they call.
[[maybe_unused]] const int kIsolated = setenv("IMCTL_TEST_ISOLATE", "process", 1);

// Until it holds; false after that time.
template <class F>
bool within(Clock::duration time, F&& holds) {
  for (auto until = Clock::now() + time; !holds();) {
    if (Clock::now() > until) return false;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

// A sanitizer makes all of it slower.
constexpr Clock::duration allowed(Clock::duration time) { return kSanitized ? time * 10 : time; }

Bytes bytes(const std::string& data, uint32_t count = 0) {
  Bytes message;
  message.set_data(data);
  message.set_count(count);
  return message;
}

// A process that ended and waits for its parent to look does not.
bool exists(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text(std::istreambuf_iterator<char>(file), {});
  size_t name = text.rfind(')');
  return name != std::string::npos && text.compare(name, 3, ") Z") != 0;
}

size_t open_descriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

// Runs `serve` with its log in a file.
class Logged {
 public:
  Logged() {
    std::string pattern = (std::filesystem::temp_directory_path() / "imctl-log-XXXXXX").string();
    int file = mkstemp(pattern.data());
    path_ = pattern;
    before_ = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    close(file);
  }
  Logged(const Logged&) = delete;
  Logged& operator=(const Logged&) = delete;
  ~Logged() {
    dup2(before_, STDERR_FILENO);
    close(before_);
    std::filesystem::remove(path_);
  }
  std::string text() const {
    std::ifstream file(path_);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  bool has(const std::string& text) const {
    return within(allowed(seconds(5)),
                  [&] { return this->text().find(text) != std::string::npos; });
  }

 private:
  std::string path_;
  int before_ = -1;
};

class Isolation : public ::testing::Test {
 protected:
  void open(std::vector<std::string> set = {}, const std::string& modules = "rogue,echo") {
    std::vector<std::string> all = {"echo.isolate=no", "rogue.isolate=process",
                                    "rogue.process_answer=2s", "rogue.process_restarts=100",
                                    "host.swap_watch=0s"};
    all.insert(all.end(), set.begin(), set.end());
    in_process_ = std::make_unique<InProcess>(modules, all);
  }
  void SetUp() override {
    open();
    ASSERT_TRUE(in_process_->status.ok()) << in_process_->status.message();
  }
  Host& host() { return *in_process_->host; }
  Result<Bytes> rogue(const std::string& method, const Bytes& request = Bytes()) {
    return call<Bytes>(host(), kRogue + method, request);
  }
  bool works() { return rogue("Echo", bytes("x")).ok(); }
  pid_t pid() {
    std::string where = host().find_module("rogue")->where();
    return where.compare(0, 8, "process ") == 0 ? atoi(where.c_str() + 8) : 0;
  }
  // Died as `how` says, failed only itself and the call that waited, and came back.
  void expect_death(const std::string& method, const std::string& how) {
    pid_t before = pid();
    TestCall waiting(host(), kRogue + "Slow", bytes("", 60000).SerializeAsString());
    auto began = Clock::now();
    Result<Bytes> died = rogue(method);
    EXPECT_EQ(died.status().code(), IMCTL_UNAVAILABLE) << method;
    EXPECT_NE(died.status().message().find(how), std::string::npos) << died.status().message();
    EXPECT_NE(died.status().details(), "");  // when to try again
    EXPECT_EQ(waiting.wait().code(), IMCTL_UNAVAILABLE);
    auto ended = Clock::now();
    EXPECT_TRUE(within(allowed(seconds(5)), [&] { return works(); })) << method;
    auto back = Clock::now();
    std::cout << method << ": noticed after "
              << std::chrono::duration_cast<milliseconds>(ended - began).count()
              << " ms, back after "
              << std::chrono::duration_cast<milliseconds>(back - ended).count() << " ms more\n";
    EXPECT_NE(pid(), before);
    EXPECT_FALSE(exists(before));
    EXPECT_TRUE(host().find_module("rogue")->is_serving());
  }

  std::unique_ptr<InProcess> in_process_;
};

TEST_F(Isolation, AProcessOfItsOwnWithLittleInIt) {
  Result<Report> report = call<Report>(host(), kRogue + "Look", Bytes());
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_NE(report->pid(), getpid());
  EXPECT_EQ(report->pid(), pid());
  EXPECT_GT(host().find_module("rogue")->memory(), size_t{1} << 20);
  std::set<std::string> lines(report->lines().begin(), report->lines().end());
  for (const std::string& line : lines) {
    if (line.compare(0, 3, "fd ") != 0) continue;
    // Standard three, link, questions, and the epoll descriptor of the link.
    EXPECT_LE(atoi(line.c_str() + 3), 5) << line;
  }
  EXPECT_TRUE(lines.count("fd 0 /dev/null"));
  EXPECT_TRUE(lines.count("kill Operation not permitted"));
  EXPECT_TRUE(lines.count("fork Operation not permitted"));
  EXPECT_TRUE(lines.count("exec Operation not permitted"));
}

TEST_F(Isolation, TheHostsOwnSettingsAreNotInItsEnvironment) {
  setenv("IMCTL_HOST_SECRET", "1", 1);
  setenv("OTHER_VARIABLE", "2", 1);
  ASSERT_TRUE(host().module_admin().reload("rogue", {"test"}).ok());
  Result<Report> report = call<Report>(host(), kRogue + "Look", Bytes());
  ASSERT_TRUE(report.ok());
  std::set<std::string> lines(report->lines().begin(), report->lines().end());
  EXPECT_FALSE(lines.count("env IMCTL_HOST_SECRET=1"));
  EXPECT_TRUE(lines.count("env OTHER_VARIABLE=2"));
  unsetenv("IMCTL_HOST_SECRET");
  unsetenv("OTHER_VARIABLE");
}

TEST_F(Isolation, LimitsAreItsOwn) {
  in_process_.reset();
  open({"rogue.process_files=77", "rogue.process_nice=3", "rogue.process_sandbox=false"});
  ASSERT_TRUE(in_process_->status.ok()) << in_process_->status.message();
  Result<Report> report = call<Report>(host(), kRogue + "Look", Bytes());
  // Without the sandbox it may start a program: it did, and is gone.
  ASSERT_EQ(report.status().code(), IMCTL_UNAVAILABLE);
  EXPECT_NE(report.status().message().find("exited with code 0"), std::string::npos);
  in_process_.reset();
  open({"rogue.process_files=77", "rogue.process_nice=3"});
  report = call<Report>(host(), kRogue + "Look", Bytes());
  ASSERT_TRUE(report.ok());
  std::set<std::string> lines(report->lines().begin(), report->lines().end());
  EXPECT_TRUE(lines.count("files 77"));
  const int nice = std::min(getpriority(PRIO_PROCESS, 0) + 3, 19);  // three more than ours
  EXPECT_TRUE(lines.count("nice " + std::to_string(nice)));
}

TEST(Runner, NeedsNeitherGrpcNorProtobuf) {
  FILE* output = popen("readelf -d " IMCTL_RUNNER, "r");
  ASSERT_NE(output, nullptr);
  std::array<char, 1000> line;
  int needed = 0;
  while (fgets(line.data(), line.size(), output) != nullptr) {
    std::string text = line.data();
    if (text.find("(NEEDED)") == std::string::npos) continue;
    ++needed;
    for (const char* unwanted : {"grpc", "protobuf", "spdlog", "boost", "absl"}) {
      EXPECT_EQ(text.find(unwanted), std::string::npos) << text;
    }
  }
  EXPECT_EQ(pclose(output), 0);
  EXPECT_GT(needed, 0);
}

TEST(Runner, AMissingOneIsSaidInWords) {
  // Found beside the program's folder: a program elsewhere has none.
  TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() + "/bin");
  std::string program = folder.path() + "/bin/isolation_test";
  std::filesystem::copy_file(std::filesystem::read_symlink("/proc/self/exe"), program);
  FILE* output = popen(
      (program + " --gtest_filter='*OpensIsolated' --gtest_also_run_disabled_tests").c_str(), "r");
  ASSERT_NE(output, nullptr);
  std::string text;
  std::array<char, 1000> line;
  while (fgets(line.data(), line.size(), output) != nullptr) text += line.data();
  pclose(output);
  EXPECT_NE(text.find("imctl-runner, which would run it, cannot be used"), std::string::npos)
      << text;
  EXPECT_NE(text.find("isolate = no"), std::string::npos) << text;
}

TEST(Runner, DISABLED_OpensIsolated) {
  InProcess in_process("rogue", {"rogue.isolate=process"});
  std::cout << in_process.status.message() << std::endl;
}

TEST_F(Isolation, LargePayloadsBothWays) {
  for (size_t size : {size_t{0}, size_t{1}, size_t{100} << 10, size_t{20} << 20}) {
    std::string data(size, 'x');
    Result<Bytes> reply = rogue("Echo", bytes(data));
    ASSERT_TRUE(reply.ok()) << reply.status().message();
    EXPECT_EQ(reply->data(), data);
  }
}

TEST_F(Isolation, StreamsWaitForTheirReaders) {
  // Far more than all windows on the way.
  TestCall made(host(), kRogue + "Stream",
                bytes(std::string(10000, 'x'), 1000).SerializeAsString());
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_LE(host().find_module("rogue")->stream_bytes(), (64u << 10) + 20000u);
  for (uint32_t i = 0; i < 1000; ++i) {
    std::optional<std::string> message = made.read();
    ASSERT_TRUE(message.has_value()) << i;
    Bytes got;
    ASSERT_TRUE(got.ParseFromString(*message));
    ASSERT_EQ(got.count(), i);
  }
  EXPECT_FALSE(made.read().has_value());
  EXPECT_TRUE(made.wait().ok());
}

TEST_F(Isolation, MessagesLargerThanTheWindow) {
  in_process_.reset();
  open({"rogue.stream_window=1KiB"});
  TestCall made(host(), kRogue + "Chat", "", true);
  for (size_t size : {100, 5000, 100000, 0, 3000000}) {
    std::string sent = bytes(std::string(size, 'x')).SerializeAsString();
    ASSERT_EQ(made.write(sent), true);
    EXPECT_EQ(made.read(), sent);
  }
  made.writes_done();
  EXPECT_FALSE(made.read().has_value());
  EXPECT_TRUE(made.wait().ok());
}

TEST_F(Isolation, AStreamThatNobodyReadsDoesNotKeepItAway) {
  Bytes request = bytes(std::string(1000, 'x'), 200);
  TestCall unread(host(), kRogue + "Stream", request.SerializeAsString());
  std::this_thread::sleep_for(milliseconds(100));  // all of it is on the way, the end too
  EXPECT_FALSE(rogue("Segv").ok());
  EXPECT_TRUE(within(allowed(seconds(2)), [&] { return works(); }));
  // What had come before is not lost.
  EXPECT_TRUE(unread.read().has_value());
}

TEST_F(Isolation, ACancelledStreamEndsInTheProcessToo) {
  for (int i = 0; i < 20; ++i) {
    TestCall made(host(), kRogue + "Stream", bytes("x").SerializeAsString());
    EXPECT_TRUE(made.read().has_value());
  }
  EXPECT_TRUE(within(allowed(seconds(5)),
                     [&] { return host().find_module("rogue")->gate().inside() == 0; }));
}

TEST_F(Isolation, ACallOfAnotherModule) {
  Result<Bytes> reply = rogue("Call", bytes(kEcho + "Unary"));
  EXPECT_TRUE(reply.ok()) << reply.status().message();
  // As itself only what its manifest needs; the host says so, whatever the process believes.
  EXPECT_EQ(rogue("Call", bytes("/imctl.host.v1.Modules/List")).status().code(),
            IMCTL_PERMISSION_DENIED);
  EXPECT_EQ(rogue("Call", bytes("/no.such.Service/Method")).status().code(), IMCTL_UNIMPLEMENTED);
}

TEST_F(Isolation, Deaths) {
  for (const auto& [method, how] :
       std::vector<std::array<std::string, 2>>{{"Segv", "died (SIGSEGV)"},
                                               {"SegvOnPool", "died (SIGSEGV)"},
                                               {"Abort", "died (SIGABRT)"},
                                               {"Exit", "exited with code 0"},
                                               {"Babble", "was ended, since"}}) {
    in_process_.reset();  // the first death of each is repaired at once
    open();
    ASSERT_TRUE(in_process_->status.ok()) << in_process_->status.message();
    expect_death(method, how);
  }
}

TEST_F(Isolation, AFullStack) { expect_death("Deep", "died (SIGSEGV)"); }

TEST_F(Isolation, AnEndlessLoop) {
  in_process_.reset();
  open({"rogue.process_answer=500ms"});
  Logged log;
  expect_death("Spin", "did not answer for 500 ms");
  // The stack of the thread that loops.
  EXPECT_TRUE(log.has("SIGABRT in thread rogue")) << log.text();
  EXPECT_TRUE(log.has("rogue.so(")) << log.text();
}

TEST_F(Isolation, AHog) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer maps more than any limit";
  in_process_.reset();
  open({"rogue.process_memory=512MiB"});
  ASSERT_TRUE(in_process_->status.ok()) << in_process_->status.message();
  expect_death("Hog", "died (SIGABRT)");
}

TEST_F(Isolation, AStackInTheLog) {
  Logged log;
  EXPECT_EQ(rogue("Segv").status().code(), IMCTL_UNAVAILABLE);
  EXPECT_TRUE(log.has("SIGSEGV in thread")) << log.text();
  EXPECT_TRUE(log.has("rogue.so(")) << log.text();
  EXPECT_TRUE(log.has("module rogue died (SIGSEGV)")) << log.text();
  EXPECT_TRUE(log.has("is back after")) << log.text();
}

TEST_F(Isolation, WhatItPrintsIsInTheLogAndBounded) {
  Logged log;
  ASSERT_TRUE(rogue("Print", bytes("printed by it", 5000)).ok());
  EXPECT_TRUE(log.has("stdout: printed by it")) << log.text();
  EXPECT_TRUE(log.has("stderr: printed by it 3")) << log.text();
  ASSERT_TRUE(rogue("Segv").status().code() == IMCTL_UNAVAILABLE);
  EXPECT_TRUE(log.has("lines dropped)"));
}

TEST_F(Isolation, LogMetricsHealthAndJson) {
  Logged log;
  ASSERT_TRUE(rogue("Count", bytes("", 3)).ok());
  ASSERT_TRUE(rogue("Count", bytes("", 4)).ok());
  EXPECT_TRUE(log.has("counted"));
  auto value = [&](const std::string& name) {
    for (const Metric* metric : host().metrics().all()) {
      if (metric->name() == name) return metric->value();
    }
    return 0.0;
  };
  EXPECT_TRUE(within(allowed(seconds(5)), [&] { return value("rogue_calls_total") == 7; }));
  // What was counted stays when the process goes, and goes on from there.
  EXPECT_FALSE(rogue("Segv").ok());
  EXPECT_TRUE(within(allowed(seconds(5)), [&] { return works(); }));
  ASSERT_TRUE(rogue("Count", bytes("", 5)).ok());
  EXPECT_TRUE(within(allowed(seconds(5)), [&] { return value("rogue_calls_total") == 12; }));
  EXPECT_EQ(value("rogue_level"), 5);
  for (const Metric* metric : host().metrics().all()) {
    if (metric->name() != "rogue_seconds") continue;
    EXPECT_EQ(metric->count(), 3u);
    EXPECT_EQ(metric->bucket(Metric::kBounds.size() - 1), 3u);
  }

  ASSERT_TRUE(rogue("Health", bytes("no disk", 0)).ok());
  EXPECT_TRUE(
      within(allowed(seconds(5)), [&] { return !host().find_module("rogue")->is_serving(); }));
  EXPECT_EQ(host().find_module("rogue")->health_reason(), "no disk");

  std::string data(100000, '\x01');
  Result<Bytes> json = rogue("Json", bytes(data, 7));
  ASSERT_TRUE(json.ok()) << json.status().message();
  EXPECT_EQ(json->data(), data);
  EXPECT_EQ(json->count(), 7u);
}

TEST_F(Isolation, TooManyDeathsAndItStaysAway) {
  in_process_.reset();
  open({"rogue.process_restarts=1"});
  EXPECT_FALSE(rogue("Segv").ok());
  EXPECT_TRUE(within(allowed(seconds(5)), [&] { return works(); }));
  EXPECT_FALSE(rogue("Segv").ok());
  std::shared_ptr<Instance> instance = host().find_module("rogue");
  EXPECT_TRUE(within(allowed(seconds(5)), [&] {
    return instance->health_reason().find("imctl module reload rogue") != std::string::npos;
  })) << instance->health_reason();
  EXPECT_FALSE(instance->is_serving());
  Status status = rogue("Echo").status();
  EXPECT_EQ(status.code(), IMCTL_UNAVAILABLE);
  EXPECT_NE(status.message().find("imctl module reload rogue"), std::string::npos);
  instance.reset();
  auto changes = host().module_admin().reload("rogue", {"test"});
  ASSERT_TRUE(changes.ok()) << changes.status().message();
  EXPECT_TRUE(works());
}

TEST_F(Isolation, DyingAgainAndAgainAtItsStart) {
  in_process_.reset();
  TemporaryFolder folder;
  open({"rogue.count_file=" + folder.path() + "/count", "rogue.process_restarts=3"});
  ASSERT_TRUE(in_process_->status.ok()) << in_process_->status.message();
  EXPECT_FALSE(rogue("Segv").ok());
  std::shared_ptr<Instance> instance = host().find_module("rogue");
  EXPECT_TRUE(within(allowed(seconds(10)), [&] {
    return instance->health_reason().find("reload") != std::string::npos;
  })) << instance->health_reason();
  EXPECT_EQ(std::filesystem::file_size(folder.path() + "/count"), 4u);  // the first and three more
}

TEST_F(Isolation, WhatGoesWrongAtTheStartIsSaidInWords) {
  in_process_.reset();
  for (const auto& [step, how, words] :
       std::vector<std::array<std::string, 3>>{{"prepare", "fails", "it does not want to"},
                                               {"prepare", "dies", "died (SIGSEGV)"},
                                               {"activate", "dies", "died (SIGSEGV)"},
                                               {"prepare", "hangs", "did not come to the end"}}) {
    size_t before = open_descriptors();
    open({"rogue.step=" + step, "rogue.how=" + how, "rogue.process_answer=400ms"});
    ASSERT_FALSE(in_process_->status.ok());
    const std::string& message = in_process_->status.message();
    EXPECT_NE(message.find(words), std::string::npos) << message;
    EXPECT_NE(message.find("module rogue: " + step), std::string::npos) << message;
    in_process_.reset();
    EXPECT_EQ(open_descriptors(), before);
  }
}

TEST_F(Isolation, NothingIsLeftOfIt) {
  pid_t process = pid();
  auto children = [] {
    std::ifstream file("/proc/self/task/" + std::to_string(getpid()) + "/children");
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_TRUE(host().stop().ok());
  in_process_.reset();
  EXPECT_FALSE(exists(process));
  EXPECT_EQ(children(), "");
  open();  // warm
  in_process_.reset();
  size_t before = open_descriptors();
  for (int i = 0; i < 5; ++i) {
    open();
    EXPECT_TRUE(works());
    EXPECT_FALSE(rogue("Segv").ok());
    in_process_.reset();
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(children(), "");
}

TEST_F(Isolation, ReplacedWhileCallsGoOn) {
  std::atomic<bool> over{false};
  std::atomic<int> failed{0};
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!over) {
        Result<Bytes> reply = rogue("Echo", bytes("x"));
        if (!reply.ok()) {
          ++failed;
          ADD_FAILURE() << reply.status().message();
        }
        ++done;
      }
    });
  }
  for (int i = 0; i < 5; ++i) {
    auto changes = host().module_admin().reload("rogue", {"test"});
    EXPECT_TRUE(changes.ok()) << changes.status().message();
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_GT(done, 0);
}

TEST_F(Isolation, AStreamHearsThatItsModuleMoves) {
  TestCall follow(host(), kRogue + "Follow", "");
  ASSERT_TRUE(follow.read().has_value());
  TestCall deaf(host(), kRogue + "Chat", "", true);
  ASSERT_TRUE(host().module_admin().reload("rogue", {"test"}).ok());
  EXPECT_EQ(follow.wait().code(), IMCTL_UNAVAILABLE);
  EXPECT_EQ(follow.wait().message(), "moved");
  EXPECT_EQ(follow.trailers(), (Metadata{{IMCTL_RESUME_KEY, "from here"}}));
  EXPECT_EQ(deaf.wait().code(), IMCTL_UNAVAILABLE);
  EXPECT_NE(deaf.wait().details(), "");
}

TEST_F(Isolation, CallsThatItNeverEndsDoNotKeepTheHost) {
  in_process_.reset();
  open({"host.stop_timeout=100ms"});
  TestCall kept(host(), kRogue + "Keep", "");
  EXPECT_TRUE(host().stop().ok());
  EXPECT_EQ(kept.wait().code(), IMCTL_UNAVAILABLE);
}

TEST_F(Isolation, OthersDoNotNoticeThatItDies) {
  std::atomic<bool> over{false};
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      Payload payload;
      payload.set_text("x");
      while (!over) {
        Result<Payload> reply = call<Payload>(host(), kEcho + "Unary", payload);
        EXPECT_TRUE(reply.ok()) << reply.status().message();
        ++done;
      }
    });
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(rogue("Segv").ok());
    EXPECT_TRUE(within(allowed(seconds(5)), [&] { return works(); }));
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(done, 0);
}

// Many threads, every kind of call, cancelled at random, while the process dies again and again.
TEST_F(Isolation, Storm) {
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([this, seed, &over] {
      std::mt19937 random(seed);
      while (!over) {
        switch (random() % 6) {
          case 0: (void)rogue("EchoBlocking", bytes("x")); break;
          case 1: {
            TestCall made(host(), kRogue + "Chat", "", true);
            for (unsigned n = random() % 5; n > 0; --n) {
              made.write(bytes("x").SerializeAsString());
              made.read();
            }
            break;
          }
          case 2: {
            TestCall made(host(), kRogue + "Stream",
                          bytes(std::string(5000, 'x')).SerializeAsString());
            for (unsigned n = random() % 50; n > 0; --n) made.read();
            break;
          }
          case 3: {
            TestCall made(host(), kRogue + "Slow", bytes("", 1).SerializeAsString());
            if (random() % 2 == 0) made.cancel();
            break;
          }
          case 4: (void)rogue("Call", bytes(kEcho + "Later")); break;
          default: (void)rogue("Echo", bytes("x"));
        }
      }
    });
  }
  for (int i = 0; i < 8; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    (void)rogue(i % 2 == 0 ? "Segv" : "SegvOnPool");
  }
  EXPECT_TRUE(host().module_admin().reload("rogue", {"test"}).ok());
  over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(host().stop().ok());
  EXPECT_EQ(host().in_flight(), 0);
}

// ---- the host's end, in every way

class HostsEnd : public ::testing::TestWithParam<const char*> {};

// In a process of its own: opens a host, says the child's number, and waits.
TEST(HostsEndHelper, DISABLED_Host) {
  InProcess in_process("rogue", {"rogue.isolate=process"});
  ASSERT_TRUE(in_process.status.ok());
  Result<Report> report = call<Report>(*in_process.host, kRogue + "Look", Bytes());
  ASSERT_TRUE(report.ok());
  std::string way = getenv("IMCTL_TEST_WAY");
  TestCall spins(*in_process.host, kRogue + (way == "spin" ? "Spin" : "Keep"), "");
  if (way == "spin") std::this_thread::sleep_for(milliseconds(100));
  std::cout << "child " << report->pid() << std::endl;
  if (way == "exit") _exit(3);
  if (way == "abort") std::abort();
  for (;;) pause();
}

TEST_P(HostsEnd, TakesTheProcessAlong) {
  std::string way = GetParam();
  std::array<int, 2> out;
  ASSERT_EQ(pipe(out.data()), 0);
  TemporaryFolder folder;  // of one that cannot remove its own
  setenv("IMCTL_TEST_WAY", way.c_str(), 1);
  setenv("TMPDIR", folder.path().c_str(), 1);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, out[0]);
  std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::array<const char*, 4> arguments{program.c_str(), "--gtest_filter=HostsEndHelper.*",
                                       "--gtest_also_run_disabled_tests", nullptr};
  pid_t host = 0;
  ASSERT_EQ(posix_spawn(&host, program.c_str(), &actions, nullptr,
                        const_cast<char**>(arguments.data()), environ),
            0);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  FILE* lines = fdopen(out[0], "r");
  std::array<char, 1000> line;
  pid_t child = 0;
  while (child == 0 && fgets(line.data(), line.size(), lines) != nullptr) {
    (void)sscanf(line.data(), "child %d", &child);
  }
  ASSERT_NE(child, 0);
  if (way == "stopped") kill(child, SIGSTOP);
  if (way == "term") kill(host, SIGTERM);
  if (way == "kill" || way == "spin" || way == "stopped") kill(host, SIGKILL);
  int status = 0;
  waitpid(host, &status, 0);
  fclose(lines);
  EXPECT_TRUE(within(allowed(seconds(5)), [&] { return !exists(child); })) << way;
  unsetenv("IMCTL_TEST_WAY");
  unsetenv("TMPDIR");
}

INSTANTIATE_TEST_SUITE_P(Ways, HostsEnd,
                         ::testing::Values("kill", "term", "exit", "abort", "spin", "stopped"));

// ---- much at once

TEST(IsolationLoad, ManyCallsAtOnceAndALongStream) {
  InProcess in_process("echo", {"echo.isolate=process"});
  ASSERT_TRUE(in_process.status.ok()) << in_process.status.message();
  std::vector<std::thread> callers;
  callers.reserve(64);
  for (int i = 0; i < 64; ++i) {
    callers.emplace_back([&] {
      Payload payload;
      payload.set_text("x");
      for (int j = 0; j < 50; ++j) {
        Result<Payload> reply = call<Payload>(*in_process.host, kEcho + "Unary", payload);
        EXPECT_TRUE(reply.ok()) << reply.status().message();
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  Payload request;
  request.set_count(50000);
  request.set_data(std::string(100, 'x'));
  TestCall made(*in_process.host, kEcho + "Source", request.SerializeAsString());
  int count = 0;
  while (made.read()) ++count;
  const Status status = made.wait();
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(count, 50000);
}

}  // namespace
}  // namespace imctl::host
