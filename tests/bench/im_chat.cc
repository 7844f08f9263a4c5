#include "im_chat.h"

#include <stdexcept>

#include "storage_requests.h"
#include "stored_users.h"

namespace imctl::bench {
namespace {

constexpr size_t kIdBytes = 16;

uint64_t read_varint(std::string_view* from) {
  uint64_t value = 0;
  for (unsigned shift = 0; !from->empty() && shift < 64; shift += 7) {
    const auto byte = static_cast<uint8_t>(from->front());
    from->remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

// ClientFrame{send: Send{reference, message}}; the id is `kIdBytes` of '#'.
std::string send_frame(uint64_t to) {
  std::string event;
  append_bytes(&event, 1, std::string(kIdBytes, '#'));
  append_bytes(&event, 4, "im");
  append_bytes(&event, 7, std::string(kTextBytes, 'x'));
  std::string message;
  append_bytes(&message, 1, event);
  append_bytes(&message, 3, user_name(to));
  std::string send;
  append_number(&send, 1, 1);
  append_bytes(&send, 2, message);
  std::string frame;
  append_bytes(&frame, 2, send);
  return frame;
}

}  // namespace

std::string hello_frame(uint64_t user, std::string_view device, bool only_new) {
  std::string hello;
  append_bytes(&hello, 1, device);
  if (only_new) append_number(&hello, 3, 1);
  append_bytes(&hello, 5, user_name(user));
  std::string frame;
  append_bytes(&frame, 1, hello);
  return frame;
}

std::string ack_frame(uint64_t sequence) {
  std::string ack;
  append_number(&ack, 1, sequence);
  std::string frame;
  append_bytes(&frame, 3, ack);
  return frame;
}

ImFrame im_frame(std::string_view frame) {
  constexpr unsigned kTypeBits = 3;
  return static_cast<ImFrame>(static_cast<uint8_t>(frame.at(0)) >> kTypeBits);
}

uint64_t delivered_sequence(std::string_view frame) {
  frame.remove_prefix(1);
  (void)read_varint(&frame);
  // It comes first.
  if (frame.empty() || frame[0] != '\x08') throw std::runtime_error("a message without a number");
  frame.remove_prefix(1);
  return read_varint(&frame);
}

ImChat::ImChat(int even_port, int odd_port, size_t users)
    : streams_(kConnect, [this](size_t user, std::string_view frame) { handle(user, frame); }),
      users_(users),
      next_id_(Random()() >> 8U) {
  for (size_t user = 0; user < users; ++user) {
    users_[user].frame = send_frame(user ^ 1U);
    users_[user].id_place = users_[user].frame.find('#');
    const size_t connection = streams_.connect(user % 2 == 0 ? even_port : odd_port);
    streams_.send(streams_.open(connection), hello_frame(user, "phone", true));
  }
  const Clock::time_point end = Clock::now() + std::chrono::seconds(60);
  while (welcomed_ < users) {
    streams_.turn(1000);
    if (Clock::now() > end) throw std::runtime_error("a node lets users in too slowly");
  }
}

void ImChat::send(size_t user) {
  User& mine = users_[user];
  uint64_t id = ++next_id_;
  for (size_t i = 0; i < kIdBytes; ++i, id >>= 4U) {
    mine.frame[mine.id_place + i] = "0123456789abcdef"[id & 0xFU];
  }
  mine.sent = mine.delivered = false;
  streams_.send(user, mine.frame);
}

void ImChat::handle(size_t user, std::string_view frame) {
  switch (im_frame(frame)) {
    case ImFrame::kWelcome: ++welcomed_; return;
    case ImFrame::kSent: users_[user].sent = true; return done(user);
    case ImFrame::kDeliver: {
      streams_.send(user, ack_frame(delivered_sequence(frame)));
      const size_t sender = user ^ 1U;
      users_[sender].delivered = true;
      if (on_delivered) on_delivered(sender);
      return done(sender);
    }
    default: throw std::runtime_error("unexpected frame: " + std::string(frame));
  }
}

void ImChat::done(size_t user) {
  if (users_[user].sent && users_[user].delivered && on_done) on_done(user);
}

}  // namespace imctl::bench
