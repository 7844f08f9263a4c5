#include "xmpp_chat.h"

#include <array>
#include <stdexcept>

#include "http2.h"

namespace imctl::bench {
namespace {

constexpr char kOpen[] =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    "to='localhost' version='1.0'>";
constexpr char kBind[] =
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
    "<resource>r</resource></bind></iq>";

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t three = 0;
    for (size_t i = 0; i < 3; ++i) {
      three = three << 8U | (at + i < bytes.size() ? static_cast<uint8_t>(bytes[at + i]) : 0U);
    }
    for (size_t i = 0; i < 4; ++i) {
      text += at + i <= bytes.size() ? kDigits[three >> (18 - 6 * i) & 0x3FU] : '=';
    }
  }
  return text;
}

std::string auth(size_t user) {
  std::string plain("\0u", 2);
  plain += std::to_string(user) + '\0' + kXmppPassword;
  return "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + base64(plain) +
         "</auth>";
}

}  // namespace

XmppChat::XmppChat(int port, size_t users) : users_(users) {
  const Clock::time_point end = Clock::now() + std::chrono::seconds(60);
  for (size_t user = 0; user < users; ++user) {
    users_[user].message = "<message to='u" + std::to_string(user ^ 1U) +
                           "@localhost/r' type='chat' id='1'><body>" +
                           std::string(kTextBytes, 'x') + "</body></message>";
    sockets_.add(http2::connect_to(port));
    *sockets_.out(user) += kOpen;
    // It is slow to check passwords, and does not wait for ever.
    constexpr size_t kAtOnce = 16;
    while (user + 1 == users ? present_ < users : present_ + kAtOnce < user) {
      turn(1000);
      if (Clock::now() > end) throw std::runtime_error("the XMPP server lets users in too slowly");
    }
  }
}

void XmppChat::send(size_t user) { *sockets_.out(user) += users_[user].message; }

void XmppChat::turn(int milliseconds) {
  sockets_.turn(milliseconds,
                [this](size_t user, std::string_view data) { return take(user, data); });
}

size_t XmppChat::take(size_t user, std::string_view data) {
  constexpr std::string_view kEnd = "</message>";
  size_t taken = 0;
  if (users_[user].step < 4) return log_in(user, data);
  for (;;) {
    const size_t end = data.find(kEnd, taken);
    if (end == std::string_view::npos) return taken;
    const std::string_view stanza = data.substr(taken, end - taken);
    taken = end + kEnd.size();
    if (stanza.find("type='error'") != std::string_view::npos) {
      throw std::runtime_error("the XMPP server refuses a message: " + std::string(stanza));
    }
    if (on_delivered) on_delivered(user ^ 1U);
    if (on_done) on_done(user ^ 1U);
  }
}

size_t XmppChat::log_in(size_t user, std::string_view data) {
  // What each step waits for, and what is said then.
  const std::array<std::string_view, 4> awaited = {"</stream:features>", "<success",
                                                   "</stream:features>", "</iq>"};
  if (data.find("<failure") != std::string_view::npos ||
      data.find("</stream:stream>") != std::string_view::npos) {
    throw std::runtime_error("the XMPP server lets nobody in: " + std::string(data));
  }
  int& step = users_[user].step;
  if (data.find(awaited[static_cast<size_t>(step)]) == std::string_view::npos) return 0;
  const std::array<std::string, 4> said = {auth(user), kOpen, kBind, "<presence/>"};
  *sockets_.out(user) += said[static_cast<size_t>(step)];
  ++step;
  if (step == 4) ++present_;
  return data.size();
}

}  // namespace imctl::bench
