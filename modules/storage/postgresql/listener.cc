#include "listener.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "transaction.h"

namespace imctl::storage {
namespace {

struct Free {
  void operator()(PGnotify* notify) const { PQfreemem(notify); }
};

std::optional<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() / 2);
  unsigned byte = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const size_t digit = kDigits.find(text[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    byte = (byte << 4U | static_cast<unsigned>(digit)) & 0xFFU;
    if (i % 2 == 1) bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

}  // namespace

std::string channel_of(const std::string& schema) { return "imctl_" + schema; }

Listener::Listener(Server* server, Watchers* watchers, const std::atomic<int>* own,
                   std::atomic<bool>* loading, Log warn, Log info)
    : server_(server),
      watchers_(watchers),
      own_(own),
      loading_(loading),
      warn_(std::move(warn)),
      info_(std::move(info)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { loop(); }) {
  pthread_setname_np(thread_.native_handle(), "storage-listen");
}

Listener::~Listener() {
  wake();
  thread_.join();
  close(wake_);
}

void Listener::wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(wake_, &one, sizeof(one));
}

void Listener::wait(int socket, int timeout_ms) const {
  pollfd fds[2] = {{wake_, POLLIN, 0}, {socket, POLLIN, 0}};
  poll(fds, socket < 0 ? 1 : 2, timeout_ms);
}

void Listener::loop() {
  while (!server_->stopping()) {
    try {
      listen();
    } catch (const std::exception& error) {
      connection_.reset();
      if (server_->stopping()) return;
      if (!lost_) {
        warn_(server_->target().name + " cannot be reached (" + error.what() +
              "): trying again until it can");
      }
      lost_ = true;
      server_->listener_lost();
      const auto pause = std::max(server_->until_next_try(), std::chrono::milliseconds(10));
      wait(-1, static_cast<int>(pause.count()));
    }
  }
}

void Listener::listen() {
  connection_ = server_->connect_listener();
  // The name of a channel is an identifier here and plain text in pg_notify.
  connection_->query("LISTEN \"" + channel_of(server_->target().schema) + "\"");
  refresh();
  if (lost_) info_(server_->target().name + " is back");
  lost_ = false;
  // Nobody knows what was missed.
  watchers_->tell_all();
  while (!server_->stopping()) {
    wait(connection_->socket(), -1);
    if (!connection_->check()) throw Error("", "the server hung up");
    bool all = false;
    for (;;) {
      std::unique_ptr<PGnotify, Free> notify(PQnotifies(connection_->raw()));
      if (notify == nullptr) break;
      if (notify->be_pid == *own_) continue;
      if (notify->extra == kAll) {
        all = true;
      } else {
        hear(notify->extra);
      }
    }
    if (!all) continue;
    refresh();
    watchers_->tell_all();
  }
}

void Listener::refresh() {
  const Rows rows = connection_->query("SELECT loading FROM meta");
  if (!rows.empty()) *loading_ = rows.number(0, 0) != 0;
}

void Listener::hear(std::string_view payload) {
  if (payload.empty()) return;
  const auto kind = static_cast<Watchers::Kind>(payload[0]);
  if (kind != Watchers::Kind::kMailbox && kind != Watchers::Kind::kCollection) return;
  if (auto name = from_hex(payload.substr(1))) watchers_->tell(kind, *name);
}

}  // namespace imctl::storage
