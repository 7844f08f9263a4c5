// Users who are connected to IM nodes, each by a connection of its own as real clients are.
#ifndef IMCTL_TESTS_BENCH_IM_CHAT_H
#define IMCTL_TESTS_BENCH_IM_CHAT_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "chat.h"
#include "streams.h"

namespace imctl::bench {

constexpr char kConnect[] = "/imctl.session.v1.Sessions/Connect";

// A ClientFrame with a Hello: of a user of stored_users.h, for an administrator.
std::string hello_frame(uint64_t user, std::string_view device, bool only_new);
std::string ack_frame(uint64_t sequence);
// What a ServerFrame is, by the number of its field.
enum class ImFrame { kWelcome = 1, kSent = 2, kRejected = 3, kDeliver = 4 };
ImFrame im_frame(std::string_view frame);
// Of a kDeliver.
uint64_t delivered_sequence(std::string_view frame);

class ImChat final : public Chat {
 public:
  // Even users are connected to the first port, odd ones to the second; it may be the same.
  ImChat(int even_port, int odd_port, size_t users);

  size_t users() const override { return users_.size(); }
  void send(size_t user) override;
  void turn(int milliseconds) override { streams_.turn(milliseconds); }

 private:
  struct User {
    std::string frame;  // with its message
    size_t id_place = 0;
    bool sent = false, delivered = false;
  };
  void handle(size_t user, std::string_view frame);
  void done(size_t user);

  Streams streams_;
  std::vector<User> users_;
  size_t welcomed_ = 0;
  uint64_t next_id_;
};

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_IM_CHAT_H
