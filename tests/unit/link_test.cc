// The connection between the host and an isolated module's process.
#include "link/link.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "link/wire.h"
#include "road/buffer.h"

namespace imctl::host {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// ---- wire

// A copy without spare room, so that the address sanitizer sees each byte read past the end.
std::unique_ptr<char[]> exact(std::string_view bytes) {
  auto copy = std::make_unique<char[]>(bytes.size());
  bytes.copy(copy.get(), bytes.size());
  return copy;
}

StartFrame some_start() {
  StartFrame frame;
  frame.parent = 77;
  frame.method = "/test.v1.Service/Method";
  frame.principal_kind = -1;
  frame.flags = 1;
  frame.depth = 3;
  frame.nested = true;
  frame.deadline = INT64_MIN;
  frame.principal = "mia@example.org";
  frame.caller_module = "router";
  frame.call_id = std::string("\0id", 3);
  frame.metadata = {{"key", "value"}, {"", ""}, {"k-bin", std::string(300, '\xff')}};
  return frame;
}

TEST(Wire, StartFrameSurvives) {
  StartFrame in = some_start();
  StartFrame out;
  ASSERT_TRUE(decode(encode(in), &out));
  EXPECT_EQ(out.parent, in.parent);
  EXPECT_EQ(out.method, in.method);
  EXPECT_EQ(out.principal_kind, in.principal_kind);
  EXPECT_EQ(out.flags, in.flags);
  EXPECT_EQ(out.depth, in.depth);
  EXPECT_EQ(out.nested, in.nested);
  EXPECT_EQ(out.deadline, in.deadline);
  EXPECT_EQ(out.principal, in.principal);
  EXPECT_EQ(out.caller_module, in.caller_module);
  EXPECT_EQ(out.call_id, in.call_id);
  EXPECT_EQ(out.metadata, in.metadata);
  // A frame that is used again keeps nothing of the one before.
  ASSERT_TRUE(decode(encode(StartFrame()), &out));
  EXPECT_TRUE(out.method.empty() && out.metadata.empty() && !out.nested);
}

TEST(Wire, OtherFramesSurvive) {
  FinishFrame finish;
  ASSERT_TRUE(decode(encode(FinishFrame{14, "gone", "details", {{"a", "b"}}}), &finish));
  EXPECT_EQ(finish.code, 14);
  EXPECT_EQ(finish.message, "gone");
  EXPECT_EQ(finish.details, "details");
  EXPECT_EQ(finish.trailers, (WirePairs{{"a", "b"}}));
  CreditFrame credit;
  ASSERT_TRUE(decode(encode(CreditFrame{5, uint64_t{1} << 40}), &credit));
  EXPECT_EQ(credit.messages, 5u);
  EXPECT_EQ(credit.bytes, uint64_t{1} << 40);
  CancelFrame cancel;
  ASSERT_TRUE(decode(encode(CancelFrame{1, "left"}), &cancel));
  EXPECT_EQ(cancel.code, 1);
  EXPECT_EQ(cancel.why, "left");
}

TEST(Wire, ReaderStopsAtTheEnd) {
  HeadWriter writer;
  writer.u8(1);
  writer.u32(2);
  HeadReader reader(writer.bytes());
  EXPECT_EQ(reader.u8(), 1);
  EXPECT_FALSE(reader.at_end());
  EXPECT_EQ(reader.u64(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.u32(), 0u);  // stays failed, though these bytes are there
  EXPECT_EQ(reader.str(), "");
  EXPECT_FALSE(reader.at_end());
}

template <class Frame>
void refuses_every_cut(const Frame& frame) {
  std::string whole = encode(frame);
  Frame out;
  for (size_t size = 0; size < whole.size(); ++size) {
    auto cut = exact({whole.data(), size});
    EXPECT_FALSE(decode({cut.get(), size}, &out)) << size << " of " << whole.size();
  }
  EXPECT_FALSE(decode(whole + '\0', &out)) << "a byte too many";
}

TEST(Wire, CutFramesAreRefused) {
  refuses_every_cut(some_start());
  refuses_every_cut(FinishFrame{14, "gone", "details", {{"a", "b"}}});
  refuses_every_cut(CreditFrame{1, 2});
  refuses_every_cut(CancelFrame{1, "left"});
}

TEST(Wire, RandomBytesDoNoHarm) {
  std::mt19937 random(1);
  std::string start = encode(some_start());
  std::string finish = encode(FinishFrame{14, "gone", "details", {{"a", "b"}, {"c", "d"}}});
  size_t decoded = 0;
  for (int i = 0; i < 40000; ++i) {
    std::string bytes = i % 4 == 0 ? start : finish;
    if (i % 4 < 2) {
      for (auto n = random() % 4; n > 0; --n) {
        bytes[random() % bytes.size()] = static_cast<char>(random());
      }
    } else {
      bytes.resize(random() % 80);
      // Small numbers, too, so that lengths often fit.
      for (char& byte : bytes) byte = static_cast<char>(i % 4 == 2 ? random() : random() % 3);
    }
    auto copy = exact(bytes);
    std::string_view view(copy.get(), bytes.size());
    StartFrame start_out;
    FinishFrame finish_out;
    CreditFrame credit_out;
    CancelFrame cancel_out;
    decoded += decode(view, &start_out) ? 1 : 0;
    decoded += decode(view, &finish_out) ? 1 : 0;
    decoded += decode(view, &credit_out) ? 1 : 0;
    decoded += decode(view, &cancel_out) ? 1 : 0;
    if (view.size() >= kFrameHeaderSize) {
      FrameHeader header;
      decode_header(view.data(), &header);
    }
    HeadReader reader(view);
    while (reader.ok()) {
      switch (random() % 4) {
        case 0: reader.u8(); break;
        case 1: reader.u32(); break;
        case 2: reader.i64(); break;
        default: EXPECT_LE(reader.str().size(), view.size());
      }
      if (reader.left() == 0) break;
    }
  }
  EXPECT_GT(decoded, 0u);
}

std::string header_bytes(const FrameHeader& header) {
  std::string bytes(kFrameHeaderSize, '\0');
  encode_header(header, bytes.data());
  return bytes;
}

std::string frame_bytes(FrameType type, uint64_t id, std::string_view head) {
  return header_bytes({type, false, static_cast<uint32_t>(head.size()), 0, id}).append(head);
}

std::string frame_bytes(FrameType type, uint64_t id, std::string_view head, std::string_view tail) {
  return header_bytes({type, true, static_cast<uint32_t>(head.size()),
                       static_cast<uint32_t>(tail.size()), id})
      .append(head)
      .append(tail);
}

std::vector<std::string> bad_headers() {
  FrameHeader good{FrameType::kStart, true, 1, 2, 3};
  std::vector<std::string> bad;
  for (uint8_t type :
       {uint8_t{0}, static_cast<uint8_t>(static_cast<int>(kLastFrameType) + 1), uint8_t{255}}) {
    FrameHeader header = good;
    header.type = static_cast<FrameType>(type);
    bad.push_back(header_bytes(header));
  }
  FrameHeader header = good;
  header.head_size = (1u << 30) + 1;
  bad.push_back(header_bytes(header));
  header = good;
  header.tail_size = (1u << 30) + 1;
  bad.push_back(header_bytes(header));
  header = good;
  header.has_tail = false;  // and yet a size
  bad.push_back(header_bytes(header));
  bad.push_back(header_bytes(good));
  bad.back()[0] ^= 1;  // the magic number
  bad.emplace_back(kFrameHeaderSize, 'x');
  return bad;
}

TEST(Wire, BadHeadersAreRefused) {
  FrameHeader out;
  ASSERT_TRUE(
      decode_header(header_bytes({FrameType::kHealth, true, 1, 2, UINT64_MAX}).data(), &out));
  EXPECT_EQ(out.type, FrameType::kHealth);
  EXPECT_TRUE(out.has_tail);
  EXPECT_EQ(out.head_size, 1u);
  EXPECT_EQ(out.tail_size, 2u);
  EXPECT_EQ(out.id, UINT64_MAX);
  for (const std::string& bytes : bad_headers()) EXPECT_FALSE(decode_header(bytes.data(), &out));
}

// ---- link

struct Got {
  FrameType type;
  uint64_t id;
  std::string head;
  BufferRef tail;
};

// Keeps what comes; a test may look at each frame instead.
class Collector : public Link::Sink {
 public:
  using OnFrame = std::function<void(FrameType, uint64_t, std::string_view, BufferRef)>;
  explicit Collector(OnFrame on_frame = nullptr) : on_frame_(std::move(on_frame)) {}

  void on_frame(FrameType type, uint64_t id, std::string_view head, BufferRef tail) override {
    if (on_frame_) on_frame_(type, id, head, tail);
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(closed_) << "a frame after on_closed";
    ++count_;
    if (!on_frame_) got_.push_back({type, id, std::string(head), std::move(tail)});
    changed_.notify_all();
  }
  void on_closed(const Status& why) override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(closed_) << "on_closed twice";
    closed_ = true;
    why_ = why;
    changed_.notify_all();
  }

  bool wait_count(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(100), [&] { return count_ >= count; });
  }
  // How it was closed; IMCTL_UNKNOWN: not within the time.
  Status wait_closed() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(100), [&] { return closed_; })) {
      return {IMCTL_UNKNOWN, "not closed"};
    }
    return why_;
  }
  size_t count() {
    std::lock_guard lock(mutex_);
    return count_;
  }
  std::vector<Got> take() {
    std::lock_guard lock(mutex_);
    return std::exchange(got_, {});
  }

 private:
  const OnFrame on_frame_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Got> got_;
  size_t count_ = 0;
  bool closed_ = false;
  Status why_;
};

std::array<int, 2> socket_pair() {
  std::array<int, 2> fds{-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  return fds;
}

std::unique_ptr<Link> link_on(int fd, Link::Sink* sink, bool started = true) {
  Result<std::unique_ptr<Link>> made = Link::make(fd, "test", sink);
  EXPECT_TRUE(made.ok()) << made.status().message();
  if (!made.ok()) return nullptr;
  if (started) {
    Status status = (*made)->start();
    EXPECT_TRUE(status.ok()) << status.message();
  }
  return std::move(*made);
}

// The peer may have all before the sender has counted it.
bool drained(const Link& link) {
  auto end = Clock::now() + std::chrono::seconds(60);
  while (link.queued_bytes() > 0 && Clock::now() < end) std::this_thread::yield();
  return link.queued_bytes() == 0;
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ASSERT_GT(sent, 0) << strerror(errno);
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

// All until the end.
std::string read_all(int fd) {
  std::string all;
  std::array<char, 65536> some;
  for (ssize_t got; (got = ::read(fd, some.data(), some.size())) > 0;) {
    all.append(some.data(), static_cast<size_t>(got));
  }
  return all;
}

// Bytes that differ by seed and place.
std::string pattern(uint64_t seed, size_t size) {
  std::string bytes(size, '\0');
  uint64_t word = seed * 0x9e3779b97f4a7c15 + 1;
  for (size_t at = 0; at < size; at += sizeof(word)) {
    word += 0x9e3779b97f4a7c15;
    std::memcpy(&bytes[at], &word, std::min(sizeof(word), size - at));
  }
  return bytes;
}

TEST(Link, AbsentAndEmptyTailsDiffer) {
  auto fds = socket_pair();
  Collector here;
  Collector there;
  auto a = link_on(fds[0], &here);
  auto b = link_on(fds[1], &there);
  EXPECT_TRUE(a->send(FrameType::kStart, 1, "head"));
  EXPECT_TRUE(a->send(FrameType::kMessage, 2, "", BufferRef::copy_of("")));
  EXPECT_TRUE(a->send(FrameType::kFinish, UINT64_MAX, "h", BufferRef::copy_of("tail")));
  ASSERT_TRUE(there.wait_count(3));
  std::vector<Got> got = there.take();
  EXPECT_EQ(got[0].type, FrameType::kStart);
  EXPECT_EQ(got[0].id, 1u);
  EXPECT_EQ(got[0].head, "head");
  EXPECT_FALSE(got[0].tail);
  EXPECT_EQ(got[1].head, "");
  EXPECT_TRUE(got[1].tail);
  EXPECT_EQ(got[1].tail.size(), 0u);
  EXPECT_EQ(got[2].id, UINT64_MAX);
  EXPECT_EQ(got[2].head, "h");
  EXPECT_EQ(got[2].tail.view(), "tail");
  EXPECT_EQ(a->queued_bytes(), 0u);
}

TEST(Link, RefusesWhatIsNoUnixStream) {
  std::array<int, 2> pipe_fds;
  ASSERT_EQ(pipe(pipe_fds.data()), 0);
  Collector sink;
  Result<std::unique_ptr<Link>> made = Link::make(pipe_fds[0], "child x", &sink);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().code(), IMCTL_INVALID_ARGUMENT);
  EXPECT_NE(made.status().message().find("child x"), std::string::npos);
  EXPECT_EQ(::close(pipe_fds[0]), -1) << "it was taken";
  ::close(pipe_fds[1]);
  EXPECT_FALSE(Link::make(-1, "child x", &sink).ok());
}

TEST(Link, TooLargeIsRefusedAndTheRestGoesOn) {
  auto fds = socket_pair();
  Collector here;
  Collector there;
  auto a = link_on(fds[0], &here);
  auto b = link_on(fds[1], &there);
  char byte = 0;  // of more, that nobody looks at
  EXPECT_FALSE(a->send(FrameType::kMessage, 1, "",
                       BufferRef(buffer_wrap(&byte, kMaxFramePart + 1, nullptr, nullptr))));
  EXPECT_FALSE(a->send(FrameType::kMessage, 1, {&byte, kMaxFramePart + 1}));
  EXPECT_TRUE(a->send(FrameType::kMessage, 2, ""));
  ASSERT_TRUE(there.wait_count(1));
  EXPECT_EQ(there.take()[0].id, 2u);
}

TEST(Link, FramesInPiecesOfAnySizeAreTheSame) {
  std::mt19937 random(2);
  std::string stream;
  std::vector<std::pair<std::string, std::string>> sent;
  // Around the receive buffer's size and what is awaited in it, heads as well as tails.
  for (size_t size :
       {0, 1, 100, 16000, 16 * 1024 - 24, 16 * 1024, 65511, 65512, 65513, 65536, 65560, 200000}) {
    for (int i = 0; i < 3; ++i) {
      sent.emplace_back(pattern(sent.size(), i == 0 ? size : random() % 50),
                        pattern(sent.size() + 1, i == 1 ? size : random() % 50));
    }
  }
  std::shuffle(sent.begin(), sent.end(), random);
  for (const auto& [head, tail] : sent) stream += frame_bytes(FrameType::kMessage, 5, head, tail);

  for (size_t largest : {size_t{7}, size_t{3000}, size_t{100000}, stream.size()}) {
    auto fds = socket_pair();
    Collector there;
    auto b = link_on(fds[1], &there);
    for (size_t at = 0; at < stream.size();) {
      size_t size = std::min(stream.size() - at, 1 + random() % largest);
      write_all(fds[0], {stream.data() + at, size});
      at += size;
    }
    ASSERT_TRUE(there.wait_count(sent.size()));
    std::vector<Got> got = there.take();
    for (size_t i = 0; i < sent.size(); ++i) {
      ASSERT_EQ(got[i].head, sent[i].first) << "frame " << i << ", pieces of " << largest;
      ASSERT_EQ(got[i].tail.view(), sent[i].second) << "frame " << i << ", pieces of " << largest;
    }
    ::close(fds[0]);
  }
}

// Frames of one sending thread: the id is the thread's number, the head says which frame it is.
struct Numbered {
  static std::string head(uint64_t thread, uint64_t number, size_t size) {
    HeadWriter writer;
    writer.u64(number);
    writer.u64(size);
    writer.str(pattern(thread, number % 40));
    return writer.take();
  }
};

class Checker : public Collector {
 public:
  explicit Checker(size_t threads)
      : Collector([this](FrameType, uint64_t id, std::string_view head, const BufferRef& tail) {
          check(id, head, tail);
        }),
        next_(threads) {}

 private:
  void check(uint64_t id, std::string_view head, const BufferRef& tail) {
    ASSERT_LT(id, next_.size());
    HeadReader reader(head);
    uint64_t number = reader.u64();
    uint64_t size = reader.u64();
    EXPECT_EQ(reader.str(), pattern(id, number % 40));
    EXPECT_TRUE(reader.at_end());
    EXPECT_EQ(number, next_[id]++) << "out of order";
    if (number % 5 == 0) {
      EXPECT_FALSE(tail);
      return;
    }
    ASSERT_TRUE(tail);
    ASSERT_EQ(tail.size(), size);
    EXPECT_TRUE(tail.view() == pattern(id + number, size)) << "the bytes differ";
  }

  std::vector<uint64_t> next_;
};

void send_numbered(Link& link, uint64_t thread, uint64_t frames) {
  std::mt19937 random(static_cast<uint32_t>(thread));
  for (uint64_t number = 0; number < frames; ++number) {
    size_t size = random() % 300;
    if (random() % 20 == 0) size = random() % 100000;
    if (random() % 300 == 0) size = random() % (4 << 20);
    BufferRef tail;
    if (number % 5 != 0) tail = BufferRef::copy_of(pattern(thread + number, size));
    ASSERT_TRUE(link.send(FrameType::kMessage, thread, Numbered::head(thread, number, size),
                          std::move(tail)));
    // Else one process's memory is what the test tries.
    while (link.queued_bytes() > (32u << 20)) std::this_thread::yield();
  }
}

TEST(Link, ManyThreadsBothWaysKeepOrderAndBytes) {
  constexpr size_t kThreads = 4;
  constexpr uint64_t kFrames = 1500;
  auto fds = socket_pair();
  Checker here(kThreads);
  Checker there(kThreads);
  auto a = link_on(fds[0], &here);
  auto b = link_on(fds[1], &there);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] { send_numbered(*a, i, kFrames); });
    threads.emplace_back([&, i] { send_numbered(*b, i, kFrames); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(here.wait_count(kThreads * kFrames));
  EXPECT_TRUE(there.wait_count(kThreads * kFrames));
  EXPECT_TRUE(drained(*a));
  EXPECT_TRUE(drained(*b));
}

// Both sinks answer while others send: replies from the link's own thread are in order too.
TEST(Link, RepliesAmongOtherFramesKeepOrder) {
  constexpr uint64_t kFrames = 20000;
  auto fds = socket_pair();
  Link* b = nullptr;
  uint64_t expected = 0;
  Collector here([&](FrameType type, uint64_t id, std::string_view, const BufferRef&) {
    if (type == FrameType::kFinish) {
      EXPECT_EQ(id, expected++);
    }
  });
  Collector there([&](FrameType, uint64_t id, std::string_view head, BufferRef tail) {
    EXPECT_TRUE(b->send(FrameType::kFinish, id, head, std::move(tail)));
  });
  auto a = link_on(fds[0], &here);
  auto owner = link_on(fds[1], &there, false);
  b = owner.get();
  ASSERT_TRUE(b->start().ok());
  std::thread other([&] {
    for (uint64_t i = 0; i < kFrames; ++i) EXPECT_TRUE(b->send(FrameType::kLog, i, "line"));
  });
  for (uint64_t i = 0; i < kFrames; ++i) {
    EXPECT_TRUE(a->send(FrameType::kStart, i, "head", BufferRef::copy_of(pattern(i, i % 2000))));
  }
  other.join();
  EXPECT_TRUE(here.wait_count(2 * kFrames));
  EXPECT_EQ(expected, kFrames);
}

TEST(Link, FramesCanBeSentBeforeItIsStarted) {
  auto fds = socket_pair();
  Collector here;
  Collector there;
  auto a = link_on(fds[0], &here, false);
  constexpr size_t kCount = 40;
  std::string tail = pattern(1, 100000);
  for (size_t i = 0; i < kCount; ++i) {
    EXPECT_TRUE(a->send(FrameType::kHello, i, "", BufferRef::copy_of(tail)));
  }
  EXPECT_GT(a->queued_bytes(), 0u);
  auto b = link_on(fds[1], &there);
  ASSERT_TRUE(a->start().ok());
  ASSERT_TRUE(there.wait_count(kCount));
  for (const Got& got : there.take()) EXPECT_TRUE(got.tail.view() == tail);
}

TEST(Link, PeerThatDoesNotReadHoldsNobodyUp) {
  auto fds = socket_pair();
  Collector here;
  auto a = link_on(fds[0], &here);
  constexpr size_t kCount = 64;
  std::string bytes = pattern(3, 1 << 20);
  auto before = Clock::now();
  for (size_t i = 0; i < kCount; ++i) {
    size_t queued = a->queued_bytes();
    ASSERT_TRUE(a->send(FrameType::kMessage, i, "head", BufferRef::copy_of(bytes)));
    if (i > 0) {
      EXPECT_GE(a->queued_bytes(), queued + bytes.size());
    }
  }
  EXPECT_LT(Clock::now() - before, std::chrono::seconds(30));
  EXPECT_GE(a->queued_bytes(), (kCount - 1) << 20);
  // Nothing was lost, and it goes on by itself once the peer reads.
  Collector there;
  auto b = link_on(fds[1], &there);
  ASSERT_TRUE(there.wait_count(kCount));
  EXPECT_TRUE(drained(*a));
  uint64_t id = 0;
  for (const Got& got : there.take()) {
    EXPECT_EQ(got.id, id++);
    EXPECT_TRUE(got.tail.view() == bytes);
  }
}

TEST(Link, TailsAreSentWithoutACopyAndReleasedOnce) {
  auto fds = socket_pair();
  Collector here;
  std::string bytes = pattern(4, 300000);
  std::atomic<int> released{0};
  auto wrapped = [&] {
    return BufferRef(buffer_wrap(
        bytes.data(), bytes.size(),
        [](void* user) { static_cast<std::atomic<int>*>(user)->fetch_add(1); }, &released));
  };
  {
    auto a = link_on(fds[0], &here);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(a->send(FrameType::kMessage, 1, "", wrapped()));
    // The kernel does not take one as a whole, so all are still held.
    EXPECT_EQ(released, 0);
    a->close();
    EXPECT_EQ(released, 10);
    EXPECT_FALSE(a->send(FrameType::kMessage, 1, "", wrapped()));
    EXPECT_EQ(released, 11);
    EXPECT_EQ(a->queued_bytes(), 0u);
  }
  EXPECT_EQ(here.wait_closed().code(), IMCTL_OK);
  ::close(fds[1]);
}

TEST(Link, PeerThatEndsWithinAFrameClosesIt) {
  std::string tail = pattern(5, 100000);
  std::string whole = frame_bytes(FrameType::kMessage, 2, "head", tail);
  for (size_t cut : {size_t{0}, size_t{1}, size_t{23}, size_t{24}, size_t{26}, size_t{28},
                     size_t{5000}, size_t{70000}, whole.size() - 1}) {
    auto fds = socket_pair();
    Collector there;
    auto b = link_on(fds[1], &there);
    write_all(fds[0], frame_bytes(FrameType::kMessage, 1, "whole"));
    write_all(fds[0], {whole.data(), cut});
    ::close(fds[0]);
    Status why = there.wait_closed();
    EXPECT_EQ(why.code(), IMCTL_UNAVAILABLE) << cut;
    EXPECT_EQ(there.count(), 1u) << cut;
    EXPECT_FALSE(b->send(FrameType::kMessage, 1, "")) << cut;
  }
}

TEST(Link, WhatIsNoFrameClosesIt) {
  for (const std::string& bad : bad_headers()) {
    auto fds = socket_pair();
    Collector there;
    auto b = link_on(fds[1], &there);
    write_all(fds[0], frame_bytes(FrameType::kMessage, 1, "whole") + bad);
    EXPECT_EQ(there.wait_closed().code(), IMCTL_DATA_LOSS);
    EXPECT_EQ(there.count(), 1u);
    EXPECT_EQ(read_all(fds[0]), "");  // the peer is told
    ::close(fds[0]);
  }
}

TEST(Link, RandomBytesCloseIt) {
  std::mt19937 random(6);
  for (int i = 0; i < 200; ++i) {
    std::string bytes = frame_bytes(FrameType::kMessage, 1, "some head", pattern(1, 200)) +
                        frame_bytes(FrameType::kMessage, 1, "some head", pattern(1, 200));
    for (auto n = 1 + random() % 8; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    auto fds = socket_pair();
    Collector there;
    auto b = link_on(fds[1], &there);
    write_all(fds[0], bytes);
    ::close(fds[0]);
    Status why = there.wait_closed();
    EXPECT_TRUE(why.code() == IMCTL_DATA_LOSS || why.code() == IMCTL_UNAVAILABLE);
    EXPECT_LE(there.count(), 2u);
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(Link, NoMemoryForAFrameClosesIt) {
  auto fds = socket_pair();
  Collector there;
  auto b = link_on(fds[1], &there);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &limit), 0);
  rlimit small = limit;
  small.rlim_cur = rlim_t{900} << 20;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &small), 0);
  write_all(fds[0], header_bytes({FrameType::kMessage, true, 0, 1u << 30, 1}) + "begin");
  Status why = there.wait_closed();
  ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
  EXPECT_EQ(why.code(), IMCTL_RESOURCE_EXHAUSTED);
  ::close(fds[0]);
}
#endif

// What a module said before it died counts, also when the host noticed while it was sending.
TEST(Link, WhatThePeerSentBeforeItsEndIsDelivered) {
  auto fds = socket_pair();
  Collector there;
  auto b = link_on(fds[1], &there, false);
  EXPECT_TRUE(b->send(FrameType::kStart, 1, "never read"));
  for (uint64_t i = 0; i < 100; ++i) {
    write_all(fds[0], frame_bytes(FrameType::kFinish, i, "last words"));
  }
  ::close(fds[0]);
  while (b->send(FrameType::kMessage, 1, "")) {
  }
  ASSERT_TRUE(b->start().ok());
  EXPECT_EQ(there.wait_closed().code(), IMCTL_UNAVAILABLE);
  EXPECT_EQ(there.count(), 100u);
}

TEST(Link, CloseSendsWhatTheKernelTakes) {
  auto fds = socket_pair();
  Collector here;
  auto a = link_on(fds[0], &here);
  for (uint64_t i = 0; i < 50; ++i) EXPECT_TRUE(a->send(FrameType::kLog, i, "line"));
  a->close();
  a->close();
  EXPECT_FALSE(a->send(FrameType::kLog, 1, "line"));
  EXPECT_EQ(here.wait_closed().code(), IMCTL_OK);
  EXPECT_EQ(read_all(fds[1]).size(), 50 * (kFrameHeaderSize + 4));
  ::close(fds[1]);
}

TEST(Link, CloseFromTheSinkEndsDelivery) {
  auto fds = socket_pair();
  Link* b = nullptr;
  Collector there([&](FrameType, uint64_t id, std::string_view, const BufferRef&) {
    EXPECT_TRUE(b->send(FrameType::kFinish, id, ""));
    if (id == 3) b->close();
  });
  auto owner = link_on(fds[1], &there, false);
  b = owner.get();
  ASSERT_TRUE(b->start().ok());
  std::string bytes;
  for (uint64_t i = 0; i < 10; ++i) bytes += frame_bytes(FrameType::kStart, i, "");
  write_all(fds[0], bytes);
  EXPECT_EQ(there.wait_closed().code(), IMCTL_OK);
  EXPECT_EQ(there.count(), 4u);
  owner.reset();
  EXPECT_EQ(read_all(fds[0]).size(), 4 * kFrameHeaderSize);  // replies of the batch went out
  ::close(fds[0]);
}

TEST(Link, CloseWhileManySend) {
  for (int round = 0; round < 30; ++round) {
    auto fds = socket_pair();
    Collector here;
    Collector there([](FrameType, uint64_t, std::string_view, const BufferRef&) {});
    auto a = link_on(fds[0], &here);
    auto b = link_on(fds[1], &there);
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        Link& link = i % 2 == 0 ? *a : *b;
        while (link.send(FrameType::kMessage, 1, "head",
                         BufferRef::copy_of(std::string(i < 2 ? 10 : 5000, 'x')))) {
          while (link.queued_bytes() > (8u << 20)) std::this_thread::yield();
        }
      });
    }
    ASSERT_TRUE(there.wait_count(200));
    if (round % 3 == 0) std::thread([&] { b->close(); }).join();
    a->close();
    for (std::thread& thread : threads) thread.join();
    // Whichever it saw first: its own close, or the other end's.
    for (Collector* sink : {&here, &there}) {
      imctl_code code = sink->wait_closed().code();
      EXPECT_TRUE(code == IMCTL_OK || code == IMCTL_UNAVAILABLE) << code;
    }
  }
}

// Answers each frame; says how much waited at a batch's end.
class Echo : public Link::Sink {
 public:
  explicit Echo(milliseconds work = {}) : work_(work) {}
  void on_frame(FrameType, uint64_t id, std::string_view, BufferRef tail) override {
    if (work_.count() > 0) std::this_thread::sleep_for(work_);
    link->send(FrameType::kFinish, id, {}, std::move(tail));
  }
  void on_batch_end() override { waited = std::max(waited.load(), link->queued_bytes()); }
  void on_closed(const Status&) override {}

  Link* link = nullptr;  // not the owner, whose pointer is cleared before the thread is joined
  std::atomic<size_t> waited{0};

 private:
  const milliseconds work_;
};

// The most that waited at the end of a batch of five whose answers take so long each.
size_t waited_of_a_batch(milliseconds work) {
  auto fds = socket_pair();
  Echo echo(work);
  auto link = link_on(fds[1], &echo, false);
  echo.link = link.get();
  std::string bytes;
  for (uint64_t i = 0; i < 5; ++i) bytes += frame_bytes(FrameType::kStart, i, "");
  write_all(fds[0], bytes);
  EXPECT_TRUE(link->start().ok());
  std::string got(bytes.size(), '\0');
  EXPECT_EQ(recv(fds[0], got.data(), got.size(), MSG_WAITALL), static_cast<ssize_t>(got.size()));
  link.reset();
  ::close(fds[0]);
  return echo.waited;
}

TEST(Link, RepliesToABatchGoTogether) {
  // Not always: on a busy machine a batch can take long by itself.
  size_t most = 0;
  for (int i = 0; i < 200; ++i) most = std::max(most, waited_of_a_batch(milliseconds(0)));
  EXPECT_EQ(most, 5 * kFrameHeaderSize);
}

TEST(Link, RepliesDoNotWaitForASlowBatch) { EXPECT_EQ(waited_of_a_batch(milliseconds(2)), 0u); }

TEST(Link, FlushSendsWithinABatch) {
  auto fds = socket_pair();
  Link* b = nullptr;
  Collector there([&](FrameType, uint64_t id, std::string_view, const BufferRef&) {
    EXPECT_TRUE(b->send(FrameType::kFinish, id, ""));
    EXPECT_EQ(b->queued_bytes(), kFrameHeaderSize);
    b->flush();
    EXPECT_EQ(b->queued_bytes(), 0u);
  });
  auto owner = link_on(fds[1], &there, false);
  b = owner.get();
  ASSERT_TRUE(b->start().ok());
  write_all(fds[0], frame_bytes(FrameType::kStart, 1, ""));
  EXPECT_TRUE(there.wait_count(1));
  owner.reset();
  EXPECT_EQ(read_all(fds[0]).size(), kFrameHeaderSize);
  ::close(fds[0]);
}

// ---- between two processes

constexpr const char* kPeerVariable = "IMCTL_LINK_TEST_PEER";

// This program once more, as the other end.
class Peer {
 public:
  Peer() {
    auto fds = socket_pair();
    fd = fds[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], 9);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", 1 /* O_WRONLY */, 0);
    std::string program = "link_test";
    std::string filter = "--gtest_filter=LinkPeer.DISABLED_Echo";
    std::string disabled = "--gtest_also_run_disabled_tests";
    std::array<char*, 4> arguments{program.data(), filter.data(), disabled.data(), nullptr};
    setenv(kPeerVariable, "9", 1);
    EXPECT_EQ(posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, arguments.data(), environ),
              0);
    unsetenv(kPeerVariable);
    posix_spawn_file_actions_destroy(&actions);
    ::close(fds[1]);
  }
  void kill() { ::kill(pid_, SIGKILL); }
  // 0: it ended well.
  int wait() {
    int status = -1;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return status;
  }
  ~Peer() {
    if (pid_ > 0) {
      kill();
      wait();
    }
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  int fd = -1;

 private:
  pid_t pid_ = -1;
};

// Not a test: the other process of those below.
TEST(LinkPeer, DISABLED_Echo) {
  const char* variable = getenv(kPeerVariable);
  if (variable == nullptr) GTEST_SKIP() << "started by other tests only";
  class UntilClosed : public Echo {
   public:
    void on_closed(const Status&) override {
      closed.store(true);
      closed.notify_all();
    }
    std::atomic<bool> closed{false};
  };
  UntilClosed echo;
  auto link = link_on(std::stoi(variable), &echo, false);
  echo.link = link.get();
  ASSERT_TRUE(link->start().ok());
  echo.closed.wait(false);
}

TEST(LinkPeer, EndsWithItsHost) {
  Peer peer;
  Collector here;
  auto a = link_on(peer.fd, &here);
  EXPECT_TRUE(a->send(FrameType::kStart, 1, "", BufferRef::copy_of("x")));
  ASSERT_TRUE(here.wait_count(1));
  a.reset();
  EXPECT_EQ(peer.wait(), 0);
}

TEST(LinkPeer, KilledIsNoticed) {
  Peer peer;
  Collector here;
  auto a = link_on(peer.fd, &here);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(a->send(FrameType::kStart, 1, "", BufferRef::copy_of(pattern(1, 1000))));
  }
  ASSERT_TRUE(here.wait_count(1));
  peer.kill();
  EXPECT_EQ(here.wait_closed().code(), IMCTL_UNAVAILABLE);
  // It is told before the link is closed; until then what is sent may still be queued.
  while (a->send(FrameType::kStart, 1, "")) std::this_thread::yield();
}

// Keeps so many requests in flight: the next is sent when a reply comes, by the link's thread, or
// by threads that wait for it, as callers in the host do.
class Load : public Link::Sink {
 public:
  Load(size_t in_flight, size_t size, size_t threads)
      : in_flight_(in_flight), threads_(threads), tail_(BufferRef::copy_of(pattern(1, size))) {}

  // Replies a second.
  double run(milliseconds time) {
    Peer peer;
    auto link = link_on(peer.fd, this, false);
    link_ = link.get();
    EXPECT_TRUE(link_->start().ok());
    std::vector<std::thread> threads;
    auto begin = Clock::now();
    end_ = begin + time;
    for (size_t i = 0; i < in_flight_; ++i) request();
    for (size_t i = 0; i < threads_; ++i) threads.emplace_back([this] { send_loop(); });
    for (std::thread& thread : threads) thread.join();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return replies_ == sent_; });
    double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    lock.unlock();
    link.reset();
    EXPECT_EQ(peer.wait(), 0);
    return static_cast<double>(replies_) / seconds;
  }

  void on_frame(FrameType, uint64_t, std::string_view, BufferRef tail) override {
    EXPECT_EQ(tail.size(), tail_.size());
    std::unique_lock lock(mutex_);
    ++replies_;
    if (Clock::now() >= end_) {
      over_ = true;
      wake_.notify_all();
      done_.notify_all();
    } else if (threads_ > 0) {
      ++due_;
      wake_.notify_one();
    } else {
      lock.unlock();
      request();
    }
  }
  void on_closed(const Status&) override {}

 private:
  void request() {
    {
      std::lock_guard lock(mutex_);
      ++sent_;
    }
    link_->send(FrameType::kStart, 1, head_, tail_);
  }
  void send_loop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return due_ > 0 || over_; });
      if (over_) return;
      --due_;
      lock.unlock();
      request();
      lock.lock();
    }
  }

  const size_t in_flight_;
  const size_t threads_;
  const std::string head_ = encode(some_start()).substr(0, 120);  // as large as a call's
  const BufferRef tail_;
  Link* link_ = nullptr;
  Clock::time_point end_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  size_t sent_ = 0;
  size_t replies_ = 0;
  size_t due_ = 0;
  bool over_ = false;
};

// Printed, not judged: IMCTL_LINK_TEST_MS=2000 for figures to keep.
TEST(LinkPeer, Figures) {
  const char* variable = getenv("IMCTL_LINK_TEST_MS");
  milliseconds time(variable != nullptr ? std::stoi(variable) : 100);
  for (size_t size : {100, 1024}) {
    std::printf("%4zu B: 1 in flight %5.1f us", size, 1e6 / Load(1, size, 0).run(time));
    std::printf(", 64 in flight %7.0f/s", Load(64, size, 0).run(time));
    std::printf(", from 4 threads %7.0f/s\n", Load(64, size, 4).run(time));
  }
  for (size_t size : {64u << 10, 1u << 20}) {
    double rate = Load(4, size, 0).run(time);
    std::printf("%4zu KiB: 4 in flight %5.0f MiB/s each way\n", size >> 10,
                rate * static_cast<double>(size) / (1 << 20));
  }
}

}  // namespace
}  // namespace imctl::host
