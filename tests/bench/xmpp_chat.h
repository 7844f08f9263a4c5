// Users who are connected to an XMPP server. Stanzas are told apart by searching for their ends: it
// is known what comes.
#ifndef IMCTL_TESTS_BENCH_XMPP_CHAT_H
#define IMCTL_TESTS_BENCH_XMPP_CHAT_H

#include <string>
#include <string_view>
#include <vector>

#include "chat.h"
#include "sockets.h"

namespace imctl::bench {

constexpr char kXmppPassword[] = "pw";

class XmppChat final : public Chat {
 public:
  // Logs users "u0", "u1", … in, with the password kXmppPassword; throws.
  XmppChat(int port, size_t users);

  size_t users() const override { return users_.size(); }
  void send(size_t user) override;
  void turn(int milliseconds) override;

 private:
  struct User {
    int step = 0;         // of logging in
    std::string message;  // that it sends
  };
  // What of it is taken.
  size_t take(size_t user, std::string_view data);
  size_t log_in(size_t user, std::string_view data);

  Sockets sockets_;
  std::vector<User> users_;
  size_t present_ = 0;
};

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_XMPP_CHAT_H
