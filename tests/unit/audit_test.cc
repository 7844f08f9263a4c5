// The audit log: its chain, what crashes and full disks do to it, refusals, what is in a record.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <thread>

#include "core/audit_log.h"
#include "core/audit_reader.h"
#include "core/audit_refusals.h"
#include "core/tree.h"
#include "echo.pb.h"
#include "in_process.h"
#include "road/glob.h"

namespace imctl::host {
namespace {

namespace fs = std::filesystem;

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_to(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

AuditRecord record(const std::string& user, const char* kind = AuditRecord::kCall) {
  AuditRecord record;
  record.time = std::chrono::system_clock::now();
  record.kind = kind;
  record.user = user;
  record.user_kind = "admin";
  record.from = "ipv4:127.0.0.1:4711";
  record.method = "a.B/C";
  record.code = "OK";
  record.what = R"({"key":"v,\"what\":x"})";
  record.call_id = "id-1";
  return record;
}

class Audit : public ::testing::Test {
 protected:
  std::string folder() const { return folder_.path() + "/audit"; }
  std::string file(uint64_t first = 1) const { return folder() + "/" + audit_file_name(first); }

  // One life of a host.
  std::unique_ptr<AuditLog> open(const AuditOptions& options = {}) {
    auto log = std::make_unique<AuditLog>(folder(), &metrics_,
                                          [this](imctl_log_level level, const std::string& text) {
                                            if (level == IMCTL_LOG_ERROR) errors_.push_back(text);
                                          });
    log->configure(options);
    log->start(record("host", AuditRecord::kStart));
    return log;
  }
  void close(std::unique_ptr<AuditLog> log) { log->stop(record("host", AuditRecord::kStop)); }
  void write(int count, const AuditOptions& options = {}) {
    auto log = open(options);
    for (int i = 0; i < count; ++i) log->add(record("user-" + std::to_string(i)));
    close(std::move(log));
  }
  Result<AuditCheck> verify(const std::vector<AuditHead>& expected = {}) const {
    return verify_audit(folder(), expected);
  }
  std::vector<AuditRecord> records() const {
    std::vector<AuditRecord> all;
    AuditReader reader(folder());
    std::string_view line;
    for (Result<bool> more = reader.next(&line); more.ok() && *more; more = reader.next(&line)) {
      Result<AuditRecord> read = read_record(line);
      EXPECT_TRUE(read.ok()) << line;
      if (read.ok()) all.push_back(*read);
    }
    return all;
  }
  std::vector<std::string> kinds() const {
    std::vector<std::string> kinds;
    for (const AuditRecord& one : records()) kinds.push_back(one.kind);
    return kinds;
  }

  Metrics metrics_;
  std::vector<std::string> errors_;

 private:
  TemporaryFolder folder_;
};

TEST_F(Audit, WhatIsWrittenIsReadAgain) {
  auto log = open();
  AuditRecord odd = record("o'dd \"user\"\n\x1b[1m\xff");
  odd.message = std::string(10000, 'm');
  odd.count = 7;
  log->add(odd);
  const AuditHead head = log->head();
  close(std::move(log));
  std::vector<AuditRecord> all = records();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].sequence, 2u);
  EXPECT_EQ(all[1].user, "o'dd \"user\"\n\x1b[1m\ufffd");
  EXPECT_EQ(all[1].count, 7u);
  EXPECT_EQ(all[1].what, odd.what);
  EXPECT_EQ(all[1].call_id, "id-1");
  EXPECT_LT(all[1].message.size(), 1000u);
  EXPECT_LT(std::chrono::abs(all[1].time - odd.time), std::chrono::microseconds(2));
  Result<AuditCheck> check = verify({head});
  ASSERT_TRUE(check.ok()) << check.status().message();
  EXPECT_EQ(check->records, 3u);
  EXPECT_EQ(check->head.sequence, 3u);
  // Nobody else's eyes.
  struct stat info {};
  ASSERT_EQ(stat(file().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(folder().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(Audit, TheHashOfALineIsWhatSha256sumGives) {
  write(0);
  std::istringstream lines(content_of(file()));
  std::string first;
  std::string second;
  std::getline(lines, first);
  std::getline(lines, second);
  write_to(folder() + "/line", first);
  FILE* pipe = popen(("sha256sum < " + folder() + "/line").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  char sum[65] = {};
  ASSERT_EQ(fread(sum, 1, 64, pipe), 64u);
  pclose(pipe);
  EXPECT_NE(second.find(",\"prev\":\"" + std::string(sum) + "\""), std::string::npos);
  EXPECT_NE(first.find(",\"prev\":\"" + kNoAuditLine + "\""), std::string::npos);
}

TEST_F(Audit, EveryByteThatIsChangedShows) {
  write(1);
  const std::string whole = content_of(file());
  ASSERT_TRUE(verify().ok());
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (at % 2 == 0 ? 1 : 0x20));
    write_to(file(), changed);
    EXPECT_EQ(verify().status().code(), IMCTL_DATA_LOSS) << at << ": " << changed;
    std::string shorter = whole;
    write_to(file(), shorter.erase(at, 1));
    EXPECT_EQ(verify().status().code(), IMCTL_DATA_LOSS) << at;
  }
}

TEST_F(Audit, LinesRemovedSwappedOrPutInShow) {
  write(4);
  std::vector<std::string> lines;
  std::istringstream text(content_of(file()));
  for (std::string line; std::getline(text, line);) lines.push_back(line + "\n");
  ASSERT_EQ(lines.size(), 6u);
  auto join = [](const std::vector<std::string>& all) {
    std::string joined;
    for (const std::string& line : all) joined += line;
    return joined;
  };
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    std::vector<std::string> fewer = lines;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    write_to(file(), join(fewer));
    EXPECT_EQ(verify().status().code(), IMCTL_DATA_LOSS) << i;
    std::vector<std::string> swapped = lines;
    std::swap(swapped[i], swapped[i + 1]);
    write_to(file(), join(swapped));
    EXPECT_EQ(verify().status().code(), IMCTL_DATA_LOSS) << i;
    std::vector<std::string> more = lines;
    more.insert(more.begin() + static_cast<std::ptrdiff_t>(i), lines[i]);
    write_to(file(), join(more));
    Status status = verify().status();
    EXPECT_EQ(status.code(), IMCTL_DATA_LOSS) << i;
    EXPECT_NE(status.message().find(audit_file_name(1) + ":" + std::to_string(i + 2)),
              std::string::npos)
        << status.message();
  }
}

// Whoever can write the files can make it all anew: a head that is kept elsewhere shows that.
TEST_F(Audit, AHeadKeptElsewhereShowsAnEndCutOffAndAChainMadeAnew) {
  write(3);
  const AuditHead head = verify()->head;
  const std::string whole = content_of(file());
  write_to(file(), whole.substr(0, whole.rfind('\n', whole.size() - 2) + 1));
  EXPECT_TRUE(verify().ok());
  EXPECT_EQ(verify({head}).status().code(), IMCTL_DATA_LOSS);
  fs::remove_all(folder());
  write(3);
  EXPECT_TRUE(verify().ok());
  Status anew = verify({head}).status();
  EXPECT_EQ(anew.code(), IMCTL_DATA_LOSS);
  EXPECT_NE(anew.message().find("anew"), std::string::npos);
  EXPECT_TRUE(verify({verify()->head}).ok());
  EXPECT_TRUE(AuditHead::parse(head.text()).ok());
  for (const char* wrong : {"", "1", "1:", ":ab", "x:y", "0:"}) {
    EXPECT_EQ(AuditHead::parse(wrong).status().code(), IMCTL_INVALID_ARGUMENT) << wrong;
  }
}

TEST_F(Audit, ATornEndIsPutAsideAndTheChainGoesOn) {
  write(2);
  const std::string whole = content_of(file());
  const std::string last = whole.substr(whole.rfind('\n', whole.size() - 2) + 1);
  for (const std::string& torn :
       {last.substr(0, 10), last.substr(0, last.size() - 1), std::string(300, '\0'),
        std::string("\n\n"), std::string(200'000, 'x')}) {
    fs::remove_all(folder());
    fs::create_directories(folder());
    write_to(file(), whole + torn);
    write(1);
    Result<AuditCheck> check = verify();
    ASSERT_TRUE(check.ok()) << check.status().message();
    EXPECT_EQ(check->torn, 1u);
    EXPECT_EQ(kinds(), (std::vector<std::string>{"start", "call", "call", "stop", "torn", "start",
                                                 "call", "stop"}));
    EXPECT_EQ(content_of(folder() + "/torn-1-" + std::to_string(whole.size())), torn);
    EXPECT_EQ(content_of(file()).substr(0, whole.size()), whole);
  }
}

// A crash leaves no whole record that is wrong: whoever changed the last ones before a start is
// found out all the same.
TEST_F(Audit, WholeRecordsThatWerePutAsideShow) {
  write(2);
  std::string content = content_of(file());
  const size_t last = content.rfind('\n', content.size() - 2) + 1;
  content[content.find("\"user\"", last) + 8] ^= 1;
  write_to(file(), content);
  write(1);
  Result<AuditCheck> check = verify();
  ASSERT_EQ(check.status().code(), IMCTL_DATA_LOSS);
  EXPECT_NE(check.status().message().find("torn-"), std::string::npos) << check.status().message();
}

TEST_F(Audit, AFileWithNothingButATornLineIsBegunAgain) {
  fs::create_directories(folder());
  write_to(file(), "{\"seq\":1,");
  write(0);
  ASSERT_TRUE(verify().ok()) << verify().status().message();
  EXPECT_EQ(kinds(), (std::vector<std::string>{"torn", "start", "stop"}));
  // One that a crash left empty behind a whole one.
  write_to(file(4), "");
  write(0);
  ASSERT_TRUE(verify().ok()) << verify().status().message();
  EXPECT_EQ(records().back().sequence, 5u);
}

// What was changed in the middle is for people to look at, and not to be smoothed over by a
// restart.
TEST_F(Audit, AChangedLineStaysBrokenAfterARestart) {
  write(3);
  std::string whole = content_of(file());
  whole[whole.find("user-0") + 5] = '9';
  write_to(file(), whole);
  write(1);
  EXPECT_EQ(verify().status().code(), IMCTL_DATA_LOSS);
}

TEST_F(Audit, AHostThatWasKilledIsNoticed) {
  write(1);
  std::string whole = content_of(file());
  write_to(file(), whole.substr(0, whole.rfind('\n', whole.size() - 2) + 1));  // no "stop"
  write(0);
  std::vector<AuditRecord> all = records();
  EXPECT_EQ(all[2].kind, AuditRecord::kStart);
  EXPECT_NE(all[2].message.find("did not stop in order"), std::string::npos);
  write(0);
  EXPECT_EQ(records()[4].message, "");
}

TEST_F(Audit, FilesAreRotatedAndTheOldestGo) {
  const AuditOptions options{2000, 3};
  write(50, options);
  std::vector<uint64_t> files = list_audit_files(folder());
  ASSERT_EQ(files.size(), 3u);
  EXPECT_GT(files.front(), 1u);
  for (uint64_t one : files) EXPECT_LE(fs::file_size(file(one)), 2000u);
  Result<AuditCheck> check = verify();
  ASSERT_TRUE(check.ok()) << check.status().message();
  EXPECT_EQ(check->first, files.front());
  EXPECT_EQ(check->head.sequence, 52u);
  EXPECT_EQ(check->files, 3u);
  // The one before the oldest is known by the anchor; what is older is not.
  EXPECT_TRUE(verify({{check->first - 1, check->anchor}}).ok());
  EXPECT_EQ(verify({{check->first - 1, kNoAuditLine}}).status().code(), IMCTL_DATA_LOSS);
  EXPECT_EQ(verify({{check->first - 2, kNoAuditLine}}).status().code(), IMCTL_FAILED_PRECONDITION);
  // After a restart it goes on in the last file.
  write(1, options);
  ASSERT_TRUE(verify().ok());
  EXPECT_EQ(verify()->head.sequence, 55u);
  // A file that is missing in the middle.
  files = list_audit_files(folder());
  fs::remove(file(files[1]));
  EXPECT_EQ(verify().status().code(), IMCTL_DATA_LOSS);
}

TEST_F(Audit, ManyThreadsWriteOneChainWhileItIsRead) {
  auto log = open({4000, 1000});
  constexpr int kThreads = 4;
  constexpr int kEach = 200;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) log->add(record("user"));
    });
  }
  uint64_t seen = 0;
  AuditReader reader(folder());
  while (seen < kThreads * kEach + 1) {
    std::string_view line;
    Result<bool> more = reader.next(&line);
    ASSERT_TRUE(more.ok());
    if (!*more) {
      std::this_thread::yield();
      continue;
    }
    std::optional<AuditLink> link = read_link(line);
    ASSERT_TRUE(link);
    EXPECT_EQ(link->sequence, ++seen);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(verify({log->head()}).ok());
  close(std::move(log));
}

TEST_F(Audit, AFullDiskLosesRecordsAndSaysHowMany) {
  // A limit on the size of files, since there is no small disk to fill.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  auto log = open();
  for (int i = 0; i < 3; ++i) log->add(record("before"));
  EXPECT_EQ(log->problem(), "");
  rlimit full = before;
  full.rlim_cur = fs::file_size(file()) + 100;  // a part of a line
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  for (int i = 0; i < 5; ++i) log->add(record("lost"));
  EXPECT_NE(log->problem().find("5 records are lost"), std::string::npos) << log->problem();
  EXPECT_EQ(metrics_.get(IMCTL_COUNTER, "imctl_audit_lost_records_total", "", "")->value(), 5);
  EXPECT_EQ(errors_.size(), 1u);  // loud, and not five times
  EXPECT_TRUE(verify().ok()) << verify().status().message();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  log->add(record("after"));
  EXPECT_EQ(log->problem(), "");
  close(std::move(log));
  Result<AuditCheck> check = verify();
  ASSERT_TRUE(check.ok()) << check.status().message();
  EXPECT_EQ(check->lost, 5u);
  EXPECT_EQ(kinds(),
            (std::vector<std::string>{"start", "call", "call", "call", "lost", "call", "stop"}));
}

TEST_F(Audit, AFolderThatCannotBeHoldsNothingUp) {
  const std::string blocked = fs::path(folder()).parent_path().string() + "/file";
  write_to(blocked, "");
  AuditLog log(blocked + "/audit", &metrics_, [](imctl_log_level, const std::string&) {});
  log.start(record("host", AuditRecord::kStart));
  log.add(record("user"));
  EXPECT_NE(log.problem().find("2 records are lost"), std::string::npos) << log.problem();
  fs::remove(blocked);
  log.add(record("user"));
  EXPECT_EQ(log.problem(), "");
  log.stop(record("host", AuditRecord::kStop));
  Result<AuditCheck> check = verify_audit(blocked + "/audit", {});
  ASSERT_TRUE(check.ok());
  EXPECT_EQ(check->lost, 2u);
}

// ---- refusals

AuditRecord refusal(const std::string& user, const std::string& from,
                    const std::string& method = "a.B/C") {
  AuditRecord one = record(user, AuditRecord::kRefusal);
  one.user_kind = "none";
  one.from = from;
  one.method = method;
  one.code = "UNAUTHENTICATED";
  return one;
}

constexpr int64_t kSecond = 1'000'000'000;

TEST(AuditRefusals, TheSameIsWrittenOnceAndThenCounted) {
  AuditRefusals refusals;
  EXPECT_TRUE(refusals.add(refusal("", "ipv4:1.2.3.4:1"), 0));
  EXPECT_EQ(refusals.next(), INT64_MAX);
  for (int i = 0; i < 1000; ++i) {
    // Another port is the same stranger.
    EXPECT_FALSE(refusals.add(refusal("", "ipv4:1.2.3.4:" + std::to_string(i)), i));
  }
  EXPECT_TRUE(refusals.add(refusal("", "ipv4:1.2.3.5:1"), 0));
  EXPECT_TRUE(refusals.add(refusal("", "ipv4:1.2.3.4:1", "a.B/D"), 0));
  EXPECT_TRUE(refusals.add(refusal("x", "ipv4:1.2.3.4:1"), 0));
  EXPECT_TRUE(refusals.due(59 * kSecond).empty());
  EXPECT_EQ(refusals.next(), AuditRefusals::kPeriod);
  std::vector<AuditRecord> due = refusals.due(60 * kSecond);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].count, 1000u);
  EXPECT_EQ(due[0].from, "ipv4:1.2.3.4:999");
  // It goes on: at most once a minute.
  EXPECT_FALSE(refusals.add(refusal("", "ipv4:1.2.3.4:1"), 61 * kSecond));
  EXPECT_TRUE(refusals.due(119 * kSecond).empty());
  EXPECT_EQ(refusals.due(120 * kSecond).size(), 1u);
  // It stopped for a while: at once again.
  EXPECT_TRUE(refusals.due(1000 * kSecond).empty());
  EXPECT_TRUE(refusals.add(refusal("", "ipv4:1.2.3.4:1"), 1000 * kSecond));
}

TEST(AuditRefusals, WhoMakesUpNamesIsBounded) {
  AuditRefusals refusals;
  size_t written = 0;
  uint64_t counted = 0;
  int64_t now = 0;
  constexpr int kMinutes = 5;
  constexpr uint64_t kEach = 20'000;
  for (int minute = 0; minute < kMinutes; ++minute) {
    for (uint64_t i = 0; i < kEach; ++i) {
      now += 60 * kSecond / static_cast<int64_t>(kEach);
      const std::string name = std::to_string(minute) + "-" + std::to_string(i);
      if (refusals.add(refusal(name + std::string(1000, 'x'), "unix:"), now)) {
        ++written;
        ++counted;
      }
      for (const AuditRecord& one : refusals.due(now)) {
        ++written;
        counted += one.count;
      }
    }
  }
  for (const AuditRecord& one : refusals.take()) {
    ++written;
    counted += one.count;
  }
  EXPECT_EQ(counted, kMinutes * kEach);  // none is forgotten
  EXPECT_LE(written, kMinutes * (2 * AuditRefusals::kDistinct + 1) + AuditRefusals::kDistinct + 1);
  EXPECT_EQ(refusals.next(), INT64_MAX);
}

TEST(AuditRefusals, PortsAreNoPartOfAnAddress) {
  EXPECT_EQ(without_port("ipv4:127.0.0.1:4711"), "ipv4:127.0.0.1");
  EXPECT_EQ(without_port("ipv6:%5B::1%5D:4711"), "ipv6:%5B::1%5D");
  EXPECT_EQ(without_port("unix:"), "unix:");
  EXPECT_EQ(without_port(""), "");
}

TEST(Glob, Matches) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("a*c", "abbc"));
  EXPECT_TRUE(glob_matches("a.B/*", "a.B/C"));
  EXPECT_TRUE(glob_matches("*ab*ab", "abxabxab"));
  EXPECT_FALSE(glob_matches("a*c", "abcd"));
  EXPECT_FALSE(glob_matches("", "a"));
  // In no time.
  std::string stars;
  for (int i = 0; i < 200; ++i) stars += "*a";
  EXPECT_FALSE(glob_matches(stars + "b", std::string(2000, 'a')));
}

// ---- calls

using imctl::test::echo::v1::Payload;

const std::string kEcho = "/imctl.test.echo.v1.Echo/";

class AuditedCalls : public ::testing::Test {
 protected:
  AuditedCalls() : in_process("echo", {}) {}
  void SetUp() override { ASSERT_TRUE(in_process.status.ok()) << in_process.status.message(); }
  Host& host() { return *in_process.host; }
  // Of calls and refusals.
  std::vector<AuditRecord> records() {
    std::vector<AuditRecord> all;
    AuditReader reader(host().audit().folder());
    std::string_view line;
    while (*reader.next(&line)) {
      AuditRecord one = *read_record(line);
      if (one.kind == AuditRecord::kCall || one.kind == AuditRecord::kRefusal) all.push_back(one);
    }
    return all;
  }
  static CallParams from(imctl_principal_kind kind, const std::string& who) {
    CallParams params;
    params.principal_kind = kind;
    params.principal = who;
    params.peer = "unix:";
    return params;
  }
  static Payload payload(const std::string& text) {
    Payload payload;
    payload.set_text(text);
    payload.set_data(std::string(5000, 'd'));
    return payload;
  }
  Status echo(const std::string& method, CallParams params) {
    return call<Payload>(host(), kEcho + method, payload("hello"), std::move(params)).status();
  }

  InProcess in_process;
};

// Else a short deadline would hide what was done.
TEST_F(AuditedCalls, WhatIsDoneAfterTheCallerLeftIsRecordedToo) {
  CallParams params = from(IMCTL_PRINCIPAL_ADMIN, "root");
  params.call_id = "id-8";
  {
    TestCall call(host(), std::string(kEcho) + "Hang", payload("hello").SerializeAsString(), false,
                  std::move(params));
    call.cancel();
    EXPECT_EQ(call.wait().code(), IMCTL_CANCELLED);
  }
  while (records().size() < 2) std::this_thread::yield();
  std::vector<AuditRecord> all = records();
  ASSERT_EQ(all.size(), 2u);
  for (const AuditRecord& one : all) EXPECT_EQ(one.call_id, "id-8");
  EXPECT_NE(all[0].message, all[1].message);  // one is the caller's, one the handler's
}

TEST_F(AuditedCalls, WhatWritesIsRecordedBeforeTheCallerHears) {
  CallParams params = from(IMCTL_PRINCIPAL_ADMIN, "root");
  params.call_id = "id-7";
  ASSERT_TRUE(echo("Later", std::move(params)).ok());
  std::vector<AuditRecord> all = records();  // at once: no waiting for a thread
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].kind, AuditRecord::kCall);
  EXPECT_EQ(all[0].user, "root");
  EXPECT_EQ(all[0].user_kind, "admin");
  EXPECT_EQ(all[0].from, "unix:");
  EXPECT_EQ(all[0].method, "imctl.test.echo.v1.Echo/Later");
  EXPECT_EQ(all[0].code, "OK");
  EXPECT_EQ(all[0].call_id, "id-7");
  EXPECT_EQ(all[0].what, R"({"text":"hello","data":"5000 bytes"})");
}

TEST_F(AuditedCalls, ReadsDryRunsAndCallsOfModulesAreNot) {
  ASSERT_TRUE(echo("Unary", from(IMCTL_PRINCIPAL_ADMIN, "root")).ok());  // NO_SIDE_EFFECTS
  CallParams dry = from(IMCTL_PRINCIPAL_ADMIN, "root");
  dry.flags = IMCTL_DRY_RUN;
  (void)echo("Later", std::move(dry));
  CallParams forwarded = from(IMCTL_PRINCIPAL_ADMIN, "a/root");
  forwarded.node = "a";
  forwarded.caller_module = "user";
  ASSERT_TRUE(echo("Later", std::move(forwarded)).ok());
  EXPECT_TRUE(records().empty());
  // What a client says of its depth is no reason to look away.
  CallParams deep = from(IMCTL_PRINCIPAL_ADMIN, "liar");
  deep.depth = 3;
  ASSERT_TRUE(echo("Later", std::move(deep)).ok());
  ASSERT_EQ(records().size(), 1u);
  EXPECT_EQ(records()[0].user, "liar");
}

TEST_F(AuditedCalls, RefusalsAreRecordedOnceAMinute) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(echo("Unary", from(IMCTL_PRINCIPAL_NONE, "")).code(), IMCTL_UNAUTHENTICATED);
    EXPECT_EQ(echo("Unary", from(IMCTL_PRINCIPAL_USER, "ann")).code(), IMCTL_PERMISSION_DENIED);
  }
  std::vector<AuditRecord> all = records();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].kind, AuditRecord::kRefusal);
  EXPECT_EQ(all[0].user_kind, "none");
  EXPECT_EQ(all[0].code, "UNAUTHENTICATED");
  EXPECT_EQ(all[1].user, "ann");
  EXPECT_EQ(all[1].code, "PERMISSION_DENIED");
  // What was only counted is written when the host stops.
  const std::string folder = host().audit().folder();
  ASSERT_TRUE(host().stop().ok());
  all = records();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[2].count + all[3].count, 198u);
}

TEST_F(AuditedCalls, AStreamIsRecordedWithItsFirstMessage) {
  TestCall stream(host(), kEcho + "Sink", "", true, from(IMCTL_PRINCIPAL_ADMIN, "root"));
  EXPECT_EQ(stream.write(payload("first").SerializeAsString()), true);
  EXPECT_EQ(stream.write(payload("second").SerializeAsString()), true);
  stream.writes_done();
  ASSERT_TRUE(stream.wait().ok());
  std::vector<AuditRecord> all = records();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].what, R"({"text":"first","data":"5000 bytes"})");
}

TEST_F(AuditedCalls, ALongRequestIsCutAndStaysJson) {
  Payload large;
  large.set_text(std::string(100'000, '\x01'));
  ASSERT_TRUE(
      call<Payload>(host(), kEcho + "Later", large, from(IMCTL_PRINCIPAL_ADMIN, "root")).ok());
  std::vector<AuditRecord> all = records();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_LT(all[0].what.size(), 8 * AuditRequests::kMost);
  EXPECT_EQ(all[0].what.substr(all[0].what.size() - 5), "\u2026\"}");
}

TEST(AuditRules, WhatEachMethodsDeclarationComesTo) {
  InProcess in_process("echo", {}, IMCTL_TEST_MODULES);
  ASSERT_TRUE(in_process.status.ok());
  std::set<std::string> audited;
  for (const MethodSlot* slot : in_process.host->methods().all()) {
    auto route = slot->route();
    if (route != nullptr && route->served->info.audited &&
        slot->name().starts_with("/imctl.host.")) {
      audited.insert(slot->name().substr(15));
    }
  }
  EXPECT_EQ(audited, (std::set<std::string>{"Log/Level", "Modules/Disable", "Modules/Enable",
                                            "Modules/Reload", "Modules/Rollback", "Modules/Upgrade",
                                            "Settings/Reload", "Settings/Rollback", "Settings/Set",
                                            "Settings/Unset"}));
}

}  // namespace
}  // namespace imctl::host
