// One client: imctl.session.v1.Sessions/Connect.
#ifndef IMCTL_ROUTER_SESSION_STREAM_H
#define IMCTL_ROUTER_SESSION_STREAM_H

#include <list>
#include <memory>
#include <string>
#include <utility>

#include "imctl/session/v1/sessions.pb.h"
#include "outgoing.h"
#include "router/core/node.h"
#include "stream.h"

namespace imctl::router {

class NodeShell;

class SessionStream final : public ServedStream {
 public:
  // `user`: who is logged in; empty: an administrator, who says whose session it is.
  SessionStream(NodeShell* node, std::string user);

  // ---- on the loop
  void opened(const Opened& opened);
  void deliver(const Deliver& deliver);
  void reset(const Reset& reset);
  void sent(const Sent& sent);
  void rejected(uint64_t reference, const Outcome& outcome);
  void moving(Time within);
  void pause(bool paused);

  SessionId id() const { return id_; }
  const std::string& user() const { return user_; }
  // The host does not look whether its user may still come in.
  bool is_by_admin() const { return by_admin_; }
  void set_id(SessionId id) { id_ = id; }

 private:
  void arrived(Buffer message) override;
  void written(Time now, size_t size) override;
  void broken(Time now, const Status& status) override;

  // ---- from any thread
  std::shared_ptr<SessionStream> self();
  void hello(session::v1::Hello* hello);
  void send(session::v1::Send* send);
  // ---- on the loop
  void connect(Time now, const session::v1::Hello& hello);
  void go_on();
  void tell(const session::v1::ServerFrame& frame);
  void end_if_answered(Time now);
  // The id of what was sent so.
  std::string take_id(uint64_t reference);
  // Ends what a client did wrong.
  void refuse(Status status);

  NodeShell* const node_;
  const bool by_admin_;
  bool greeted_ = false;  // of who reads; there is one message at a time
  // Set when connected.
  std::string user_;
  std::string device_;
  SessionId id_ = 0;
  size_t window_ = 0;
  bool paused_ = false;       // of the loop
  uint64_t epoch_ = 0;        // of the last that was delivered; of the loop
  bool half_closed_ = false;  // the client says no more, but waits for answers
  // What was sent and is not answered, with the message's id; of the loop.
  std::list<std::pair<uint64_t, std::string>> sending_;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_SESSION_STREAM_H
