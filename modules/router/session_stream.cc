#include "session_stream.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <utility>

#include "node_shell.h"
#include "wire.h"

namespace imctl::router {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;
using session::v1::ClientFrame;
using session::v1::ServerFrame;

constexpr size_t kMaxDevice = 256;

size_t varint_field(uint64_t value) { return 1 + CodedOutputStream::VarintSize64(value); }
size_t bytes_field(size_t size) { return 1 + CodedOutputStream::VarintSize64(size) + size; }

uint8_t* write_head(int field, WireFormatLite::WireType type, uint8_t* to) {
  return WireFormatLite::WriteTagToArray(field, type, to);
}
uint8_t* write_varint(int field, uint64_t value, uint8_t* to) {
  to = write_head(field, WireFormatLite::WIRETYPE_VARINT, to);
  return CodedOutputStream::WriteVarint64ToArray(value, to);
}
uint8_t* write_length(int field, size_t size, uint8_t* to) {
  to = write_head(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED, to);
  return CodedOutputStream::WriteVarint64ToArray(size, to);
}

// ServerFrame{deliver: Entry{…}}, with the message as it was stored.
Buffer deliver_frame(const Host& host, const Deliver& deliver) {
  using storage::v1::Entry;
  const google::protobuf::Timestamp time = to_timestamp(deliver.time);
  const size_t time_size = time.ByteSizeLong();
  const size_t entry = varint_field(deliver.sequence) + bytes_field(time_size) +
                       bytes_field(deliver.payload->size()) + varint_field(deliver.epoch);
  Buffer buffer = host.buffer(bytes_field(entry));
  if (!buffer) return {};
  uint8_t* to = write_length(ServerFrame::kDeliverFieldNumber, entry, buffer.data());
  to = write_varint(Entry::kSequenceFieldNumber, deliver.sequence, to);
  to = write_length(Entry::kTimeFieldNumber, time_size, to);
  to = time.SerializeWithCachedSizesToArray(to);
  to = write_length(Entry::kMessageFieldNumber, deliver.payload->size(), to);
  to = CodedOutputStream::WriteStringToArray(*deliver.payload, to);
  write_varint(Entry::kEpochFieldNumber, deliver.epoch, to);
  return buffer;
}

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

}  // namespace

SessionStream::SessionStream(NodeShell* node, std::string user)
    : ServedStream(node->host(), node->loop()),
      node_(node),
      by_admin_(user.empty()),
      user_(std::move(user)) {}

std::shared_ptr<SessionStream> SessionStream::self() {
  return std::static_pointer_cast<SessionStream>(shared_from_this());
}

// ---- what the client says

void SessionStream::arrived(Buffer message) {
  if (!message) {
    loop()->post([self = self()](Time now) {
      self->half_closed_ = true;
      self->end_if_answered(now);
    });
    return;
  }
  ClientFrame frame;
  if (!Codec<ClientFrame>::parse(message, &frame)) {
    return refuse(bad("a frame is not a valid imctl.session.v1.ClientFrame"));
  }
  if (frame.has_hello() == greeted_) {
    return refuse(bad(greeted_ ? "a second `hello`: there is one, at the beginning"
                               : "the first frame is to be `hello`"));
  }
  switch (frame.frame_case()) {
    case ClientFrame::kHello: return hello(frame.mutable_hello());
    case ClientFrame::kSend: return send(frame.mutable_send());
    case ClientFrame::kAck:
      loop()->post([self = self(), ack = frame.ack()](Time now) {
        if (!self->is_open()) return;
        const uint64_t epoch = ack.epoch() != 0 ? ack.epoch() : self->epoch_;
        self->node_->machine().ack(now, self->id_, epoch, ack.sequence());
        self->go_on();
      });
      return;
    case ClientFrame::kPing:
      loop()->post([self = self(), ping = frame.ping()](Time) {
        ServerFrame pong;
        *pong.mutable_pong() = ping;
        self->tell(pong);
        self->go_on();
      });
      return;
    case ClientFrame::FRAME_NOT_SET: break;
  }
  refuse(bad("a frame is empty, or of a kind that is not known here"));
}

void SessionStream::hello(session::v1::Hello* hello) {
  greeted_ = true;
  if (hello->device().size() > kMaxDevice) {
    return refuse(bad("hello.device is longer than " + std::to_string(kMaxDevice) + " bytes"));
  }
  if (hello->has_after() && hello->only_new()) {
    return refuse(bad("hello: `after` or `only_new`, not both"));
  }
  if (!by_admin_) {
    if (!hello->user().empty() && hello->user() != user_) {
      return refuse(
          Status(IMCTL_PERMISSION_DENIED, "hello.user is " + hello->user() + ", but you are " +
                                              user_ + ": only administrators connect for others"));
    }
    loop()->post([self = self(), hello = *hello](Time now) { self->connect(now, hello); });
    return;
  }
  if (hello->user().empty()) {
    return refuse(
        bad("hello.user is empty: you are no user but an administrator, say whose session "
            "this is (or log in)"));
  }
  node_->directory().admit(hello->user(),
                           [self = self(), hello = *hello](Result<std::string> user) {
                             if (!user.ok()) return self->refuse(user.status());
                             self->loop()->post([self, hello, user = std::move(*user)](Time now) {
                               self->user_ = user;
                               self->connect(now, hello);
                             });
                           });
}

void SessionStream::connect(Time now, const session::v1::Hello& from) {
  if (!is_open() || is_ending()) return;
  device_ = from.device();
  if (Status status = node_->admit(this); !status.ok()) return end(std::move(status), false);
  Hello hello;
  hello.session = id_;
  hello.user = user_;
  hello.device = device_;
  hello.window = from.window();
  hello.since = wall_now();
  if (from.has_after()) {
    hello.start = {Start::From::kAfter, from.after().epoch(), from.after().sequence()};
  } else if (from.only_new()) {
    hello.start.from = Start::From::kEnd;
  }
  const size_t most = node_->options().node.window;
  window_ = from.window() == 0 ? most : std::min<size_t>(from.window(), most);
  node_->machine().connect(now, hello);
  go_on();
}

void SessionStream::send(session::v1::Send* send) {
  const uint64_t reference = send->reference();
  auto ready = [self = self(), reference](Result<Outgoing> outgoing) {
    auto held = std::make_shared<Result<Outgoing>>(std::move(outgoing));
    self->loop()->post([self, reference, held](Time now) {
      if (!self->is_open() || self->is_ending()) return;
      if (!held->ok()) {
        self->rejected(reference, to_outcome(held->status()));
      } else {
        Outgoing& message = **held;
        const size_t size = message.payload->size();
        self->sending_.emplace_back(reference, std::move(message.id));
        self->node_->machine().send(now, self->id_, reference, std::move(message.mailboxes),
                                    std::move(message.payload), size);
      }
      self->go_on();
    });
  };
  prepare(&node_->directory(), {node_->options().max_recipients, node_->options().max_message},
          user_, device_, std::move(*send->mutable_message()), std::move(ready));
}

void SessionStream::refuse(Status status) {
  loop()->post([self = self(), status = std::move(status)](Time now) {
    self->node_->closed(now, *self);
    self->end(status, false);
  });
}

// ---- on the loop

void SessionStream::go_on() {
  if (!paused_) read();
}

void SessionStream::pause(bool paused) {
  paused_ = paused;
  if (!paused) read();
}

void SessionStream::written(Time now, size_t size) {
  if (size != 0) node_->machine().written(now, id_, size);
}

void SessionStream::broken(Time now, const Status& /*status*/) { node_->closed(now, *this); }

void SessionStream::tell(const ServerFrame& frame) {
  write(Codec<ServerFrame>::serialize(host(), frame), 0);
}

void SessionStream::opened(const Opened& opened) {
  ServerFrame frame;
  session::v1::Welcome* welcome = frame.mutable_welcome();
  welcome->set_session(node_->name_of(id_));
  welcome->set_user(user_);
  welcome->set_device(device_);
  welcome->set_node(node_->options().name);
  welcome->mutable_after()->set_epoch(opened.epoch);
  welcome->mutable_after()->set_sequence(opened.sequence);
  welcome->set_send_window(node_->options().node.max_unanswered);
  welcome->set_window(window_);
  tell(frame);
}

void SessionStream::deliver(const Deliver& deliver) {
  epoch_ = deliver.epoch;
  Buffer frame = deliver_frame(host(), deliver);
  // Without memory the stream is not worth keeping: nothing is lost by it.
  if (!frame)
    return refuse(Status(IMCTL_RESOURCE_EXHAUSTED, "the node has no memory: connect again"));
  write(std::move(frame), deliver.size);
}

void SessionStream::reset(const Reset& reset) {
  epoch_ = reset.epoch;
  ServerFrame frame;
  frame.mutable_jump()->set_epoch(reset.epoch);
  frame.mutable_jump()->set_next(reset.first);
  tell(frame);
}

void SessionStream::sent(const Sent& sent) {
  ServerFrame frame;
  session::v1::Sent* to = frame.mutable_sent();
  to->set_reference(sent.reference);
  to->set_id(take_id(sent.reference));
  for (const Position& position : sent.positions) {
    storage::v1::Position* made = to->add_positions();
    made->set_mailbox(position.mailbox);
    made->set_epoch(position.epoch);
    made->set_sequence(position.sequence);
  }
  *to->mutable_time() = to_timestamp(sent.time);
  to->set_duplicate(sent.duplicate);
  tell(frame);
  end_if_answered(Loop::now());
}

void SessionStream::end_if_answered(Time now) {
  if (!half_closed_ || !sending_.empty()) return;
  node_->closed(now, *this);
  end(Status(), false);
}

std::string SessionStream::take_id(uint64_t reference) {
  auto found = std::find_if(sending_.begin(), sending_.end(),
                            [&](const auto& one) { return one.first == reference; });
  if (found == sending_.end()) return {};
  std::string id = std::move(found->second);
  sending_.erase(found);
  return id;
}

void SessionStream::rejected(uint64_t reference, const Outcome& outcome) {
  (void)take_id(reference);
  ServerFrame frame;
  session::v1::Rejected* to = frame.mutable_rejected();
  to->set_reference(reference);
  to->set_code(static_cast<int32_t>(outcome.code));
  to->set_message(outcome.words);
  tell(frame);
  end_if_answered(Loop::now());
}

void SessionStream::moving(Time within) {
  ServerFrame frame;
  session::v1::Moving* to = frame.mutable_moving();
  // The machine told each at another time already.
  *to->mutable_deadline() = to_timestamp(wall_now() + within);
  tell(frame);
}

}  // namespace imctl::router
