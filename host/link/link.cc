#include "link/link.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <system_error>
#include <utility>

namespace imctl::host {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kReceiveSize = size_t{64} << 10;
// A frame that is cut at the end of the receive buffer: up to this size the rest is awaited there,
// beyond it goes to buffers of its own.
constexpr size_t kAwaitSize = size_t{16} << 10;
// Tails up to this size are copied when they must wait: cheaper than a piece of their own.
constexpr size_t kCopySize = 1024;
// Waiting bytes are gathered into pieces of about this size.
constexpr size_t kGatherSize = size_t{32} << 10;
constexpr size_t kPieces = 64;  // in one system call
// A sender leaves the rest to the link's thread after so many system calls for others' frames.
constexpr int kRounds = 16;
// How long, and how much, replies to the frames of one batch wait for each other.
constexpr auto kBatchTime = std::chrono::microseconds(50);
constexpr size_t kBatchBytes = size_t{64} << 10;

// The link whose sink this thread is in.
thread_local const void* delivering = nullptr;

// Bytes taken; 0: the kernel takes none now; -1: the connection is gone.
ssize_t send_some(int fd, iovec* pieces, size_t count) {
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  for (;;) {
    ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    if (errno == EINTR) continue;
    // Short of kernel memory is a matter of time too.
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM) return 0;
    return -1;
  }
}

iovec piece(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

}  // namespace

// Frames that wait to be written.
class Link::Outbox {
 public:
  bool empty() const { return pieces_.empty(); }

  void append(std::string_view header, std::string_view head, BufferRef tail) {
    size_t size = header.size() + head.size();
    if (pieces_.empty() || pieces_.back().tail || pieces_.back().bytes.size() > kGatherSize) {
      pieces_.emplace_back();
      pieces_.back().bytes.reserve(size + std::min(tail.size(), kCopySize));
    }
    Piece& last = pieces_.back();
    last.bytes.append(header).append(head);
    if (tail.size() <= kCopySize) {
      last.bytes.append(tail.view());
    } else {
      last.tail = std::move(tail);
    }
  }

  // What to write next, at most 2 * kPieces. Gives how many bytes that is.
  size_t next(std::array<iovec, 2 * kPieces>* out, size_t* count) const {
    size_t bytes = 0;
    size_t skip = sent_;
    *count = 0;
    for (size_t i = 0; i < std::min(pieces_.size(), kPieces); ++i) {
      for (std::string_view part : {std::string_view(pieces_[i].bytes), pieces_[i].tail.view()}) {
        size_t skipped = std::min(skip, part.size());
        skip -= skipped;
        part.remove_prefix(skipped);
        if (part.empty()) continue;
        (*out)[(*count)++] = piece(part);
        bytes += part.size();
      }
    }
    return bytes;
  }

  void sent(size_t bytes) {
    sent_ += bytes;
    while (!pieces_.empty() && sent_ >= pieces_.front().size()) {
      sent_ -= pieces_.front().size();
      pieces_.pop_front();
    }
  }

 private:
  struct Piece {
    std::string bytes;  // headers, heads, small tails
    BufferRef tail;     // of the last frame in `bytes`
    size_t size() const { return bytes.size() + tail.size(); }
  };
  std::deque<Piece> pieces_;
  size_t sent_ = 0;  // of the first
};

// What was received, and the frames in it.
class Link::Inbox {
 public:
  struct Frame {
    FrameHeader header;
    std::string_view head;  // until the next call
    BufferRef tail;
  };
  enum class Next { kFrame, kMore, kMalformed, kNoMemory };

  Inbox() : buffer_(new char[kReceiveSize]) {}

  // As recv.
  ssize_t receive(int fd) {
    if (begin_ > 0) {
      std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    std::array<iovec, 3> parts;
    size_t count = 0;
    // While a large frame is received, the buffer is empty.
    if (large_) {
      if (head_left() > 0) parts[count++] = {large_head_.get()->data + head_got_, head_left()};
      if (tail_left() > 0) parts[count++] = {large_tail_.get()->data + tail_got_, tail_left()};
    }
    parts[count++] = {buffer_.get() + end_, kReceiveSize - end_};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
    if (got <= 0) return got;
    auto left = static_cast<size_t>(got);
    if (large_) {
      size_t part = std::min(left, head_left());
      head_got_ += part;
      left -= part;
      part = std::min(left, tail_left());
      tail_got_ += part;
      left -= part;
    }
    end_ += left;
    return got;
  }

  Next next(Frame* frame) {
    if (large_) return next_large(frame);
    large_head_ = {};
    const char* at = buffer_.get() + begin_;
    size_t there = end_ - begin_;
    if (there < kFrameHeaderSize) return Next::kMore;
    FrameHeader header;
    if (!decode_header(at, &header)) return Next::kMalformed;
    size_t size = kFrameHeaderSize + size_t{header.head_size} + header.tail_size;
    if (there < size) {
      if (size <= kAwaitSize) return Next::kMore;
      return begin_large(header, {at + kFrameHeaderSize, there - kFrameHeaderSize});
    }
    frame->header = header;
    frame->head = {at + kFrameHeaderSize, header.head_size};
    frame->tail = {};
    if (header.has_tail) {
      frame->tail = BufferRef::copy_of({frame->head.data() + frame->head.size(), header.tail_size});
      if (!frame->tail) return Next::kNoMemory;
    }
    begin_ += size;
    return Next::kFrame;
  }

 private:
  size_t head_left() const { return large_head_.size() - head_got_; }
  size_t tail_left() const { return large_tail_.size() - tail_got_; }

  // A frame that the buffer is not to hold; `there` is what it holds of it, and all it holds.
  Next begin_large(const FrameHeader& header, std::string_view there) {
    large_head_ = BufferRef(buffer_new(header.head_size));
    if (header.has_tail) large_tail_ = BufferRef(buffer_new(header.tail_size));
    if (!large_head_ || (header.has_tail && !large_tail_)) return Next::kNoMemory;
    head_got_ = there.copy(reinterpret_cast<char*>(large_head_.get()->data), header.head_size);
    there.remove_prefix(head_got_);
    tail_got_ = 0;
    if (header.has_tail) {
      tail_got_ = there.copy(reinterpret_cast<char*>(large_tail_.get()->data), header.tail_size);
    }
    begin_ = end_ = 0;
    large_header_ = header;
    large_ = true;
    return Next::kMore;
  }

  Next next_large(Frame* frame) {
    if (head_left() > 0 || tail_left() > 0) return Next::kMore;
    large_ = false;
    frame->header = large_header_;
    frame->head = large_head_.view();
    frame->tail = std::exchange(large_tail_, {});
    return Next::kFrame;
  }

  std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool large_ = false;
  FrameHeader large_header_;
  BufferRef large_head_;
  BufferRef large_tail_;
  size_t head_got_ = 0;
  size_t tail_got_ = 0;
};

Result<std::unique_ptr<Link>> Link::make(int fd, std::string name, Sink* sink) {
  auto refuse = [&](imctl_code code, const std::string& what) {
    if (fd >= 0) ::close(fd);
    return Status(code, "link " + name + ": " + what);
  };
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof(domain);
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX ||
      getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
    return refuse(IMCTL_INVALID_ARGUMENT, "descriptor " + std::to_string(fd) +
                                              " is no Unix stream socket; pass one end of a "
                                              "socketpair");
  }
  // The other end must see this process end, also if a child of it lives on.
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return refuse(IMCTL_INTERNAL, std::string("cannot set close-on-exec: ") + strerror(errno));
  }
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) {
    return refuse(IMCTL_RESOURCE_EXHAUSTED, std::string("cannot make an epoll descriptor: ") +
                                                strerror(errno) +
                                                "; raise the limit of open files");
  }
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    int error = errno;
    ::close(epoll);
    return refuse(IMCTL_RESOURCE_EXHAUSTED,
                  std::string("cannot watch the socket: ") + strerror(error));
  }
  return std::unique_ptr<Link>(new Link(fd, epoll, std::move(name), sink));
}

Link::Link(int fd, int epoll, std::string name, Sink* sink)
    : fd_(fd),
      epoll_(epoll),
      name_(std::move(name)),
      sink_(sink),
      inbox_(std::make_unique<Inbox>()),
      waiting_(std::make_unique<Outbox>()),
      writing_(std::make_unique<Outbox>()) {}

Link::~Link() {
  close();
  if (thread_.joinable()) thread_.join();
  ::close(epoll_);
  ::close(fd_);
}

Status Link::start() {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    return {IMCTL_RESOURCE_EXHAUSTED, "link " + name_ + ": cannot start its thread: " +
                                          error.what() + "; raise the limit of threads"};
  }
  return {};
}

// ---- sending

bool Link::send(FrameType type, uint64_t id, std::string_view head, BufferRef tail) {
  if (head.size() > kMaxFramePart || tail.size() > kMaxFramePart) return false;
  std::array<char, kFrameHeaderSize> header;
  encode_header({type, static_cast<bool>(tail), static_cast<uint32_t>(head.size()),
                 static_cast<uint32_t>(tail.size()), id},
                header.data());
  std::string_view header_view(header.data(), header.size());
  size_t size = header.size() + head.size() + tail.size();

  std::unique_lock lock(mutex_);
  if (closed_) return false;
  bool others = writer_ || full_ || !waiting_->empty() || !writing_->empty();
  if (others || delivering == this) {
    waiting_->append(header_view, head, std::move(tail));
    queued_.fetch_add(size, std::memory_order_relaxed);
    // The writer takes it along; or the thread does when it may, or at the end of its batch.
    if (!writer_ && !full_ && delivering != this) write(lock);
    return true;
  }

  writer_ = true;
  lock.unlock();
  std::array<iovec, 3> pieces{piece(header_view), piece(head), piece(tail.view())};
  ssize_t sent = send_some(fd_, pieces.data(), pieces.size());
  lock.lock();
  writer_ = false;
  if (sent < 0) {
    closed_ = true;
    end_writing(lock);
    return false;
  }
  if (static_cast<size_t>(sent) < size) {
    writing_->append(header_view, head, std::move(tail));
    writing_->sent(static_cast<size_t>(sent));
    queued_.fetch_add(size - static_cast<size_t>(sent), std::memory_order_relaxed);
    if (!closed_) {
      watch(true);
      return true;
    }
  }
  if (closed_ || !waiting_->empty()) write(lock);
  return true;
}

void Link::flush() {
  std::unique_lock lock(mutex_);
  if (closed_ || writer_ || (waiting_->empty() && writing_->empty())) return;
  write(lock);
}

// Becomes the writer, with the lock, while there is none: until nothing waits, the kernel takes no
// more, or it was done often enough.
void Link::write(std::unique_lock<std::mutex>& lock) {
  writer_ = true;
  bool full = false;
  bool gone = false;
  for (int round = 0; !full && !gone; ++round) {
    if (writing_->empty()) std::swap(writing_, waiting_);
    if (writing_->empty()) break;
    if (round == kRounds && !closed_) {
      full = true;  // to its thread
      break;
    }
    lock.unlock();
    std::array<iovec, 2 * kPieces> pieces;
    size_t count = 0;
    size_t bytes = writing_->next(&pieces, &count);
    ssize_t sent = send_some(fd_, pieces.data(), count);
    if (sent < 0) {
      gone = true;
    } else {
      writing_->sent(static_cast<size_t>(sent));
      queued_.fetch_sub(static_cast<size_t>(sent), std::memory_order_relaxed);
      full = static_cast<size_t>(sent) < bytes;
    }
    lock.lock();
  }
  writer_ = false;
  if (gone) closed_ = true;
  if (closed_) {
    end_writing(lock);
  } else {
    watch(full);
  }
}

void Link::watch(bool writable) {
  if (full_ == writable) return;
  full_ = writable;
  epoll_event event{};
  event.events = writable ? EPOLLIN | EPOLLOUT : EPOLLIN;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd_, &event);  // cannot fail: it is watched already
}

// After closed_ was set, without a writer. What is left is dropped. The thread sees the end of what
// the other end has sent, and the other end the end of what was sent to it.
void Link::end_writing(std::unique_lock<std::mutex>& lock) {
  Outbox writing = std::move(*writing_);
  Outbox waiting = std::move(*waiting_);
  *writing_ = {};
  *waiting_ = {};
  queued_.store(0, std::memory_order_relaxed);
  shutdown(fd_, SHUT_RDWR);
  lock.unlock();  // a buffer's release is not run under it
}

void Link::close() {
  std::unique_lock lock(mutex_);
  stopped_.store(true, std::memory_order_relaxed);
  if (closed_) return;
  closed_ = true;
  if (!writer_) write(lock);  // else the writer sees it
}

// ---- receiving

void Link::run() {
  pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
  Status why = loop();
  if (stopped_.load(std::memory_order_relaxed)) why = Status();
  // First told, then ended: who sees the other end go because of it finds the reason said.
  sink_->on_closed(why);
  std::unique_lock lock(mutex_);
  closed_ = true;
  if (!writer_) end_writing(lock);
}

Status Link::loop() {
  for (;;) {
    epoll_event event{};
    int count = epoll_wait(epoll_, &event, 1, -1);
    if (count < 0 && errno != EINTR) {
      return {IMCTL_INTERNAL, "link " + name_ + ": epoll_wait: " + strerror(errno)};
    }
    if (count <= 0) continue;
    if ((event.events & EPOLLOUT) != 0) flush();
    if ((event.events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) {
      Status status = receive_batch();
      if (!status.ok() || stopped_.load(std::memory_order_relaxed)) return status;
    }
  }
}

Status Link::receive_batch() {
  ssize_t got = inbox_->receive(fd_);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return {};
  if (got <= 0) {
    // An error, too: the other end went away and left unread what was sent to it.
    return {IMCTL_UNAVAILABLE, "link " + name_ + ": the other end is gone"};
  }
  delivering = this;
  Status status = deliver();
  delivering = nullptr;
  flush();
  return status;
}

Status Link::deliver() {
  Inbox::Frame frame;
  auto since = Clock::now();
  while (!stopped_.load(std::memory_order_relaxed)) {
    switch (inbox_->next(&frame)) {
      case Inbox::Next::kFrame: break;
      case Inbox::Next::kMore: sink_->on_batch_end(); return {};
      case Inbox::Next::kMalformed:
        return {IMCTL_DATA_LOSS, "link " + name_ + ": the other end sent what is no frame"};
      case Inbox::Next::kNoMemory:
        return {IMCTL_RESOURCE_EXHAUSTED, "link " + name_ + ": no memory for a frame that comes"};
    }
    sink_->on_frame(frame.header.type, frame.header.id, frame.head, std::move(frame.tail));
    if (queued_bytes() == 0) continue;
    auto now = Clock::now();
    if (now - since < kBatchTime && queued_bytes() < kBatchBytes) continue;
    flush();
    since = now;
  }
  return {};
}

}  // namespace imctl::host
