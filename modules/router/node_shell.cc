#include "node_shell.h"

#include <algorithm>
#include <utility>

#include "frame_outbox.h"
#include "imctl/retry.h"
#include "router/core/backoff.h"
#include "wire.h"

namespace imctl::router {
namespace {

constexpr Time kFirstRedial = 200;
constexpr Time kLongestRedial = 5000;

}  // namespace

// A link to one service.
class NodeShell::Link final : public DialedStream {
 public:
  Link(NodeShell* node, LinkId id, std::string address)
      : DialedStream(node->host(), node->loop()),
        outbox(this, serialize_node_frames),
        node_(node),
        id_(id),
        address_(std::move(address)) {}

  LinkId id() const { return id_; }
  const std::string& address() const { return address_; }
  const std::string& service() const { return service_; }

  FrameOutbox outbox;

 private:
  void arrived(Buffer message) override {
    if (!message) return;  // its end is told
    auto held = std::make_shared<Parsed>(parse_service_frames(message.view()));
    loop()->post([self = std::static_pointer_cast<Link>(shared_from_this()), held](Time now) {
      self->handle(now, *held);
    });
  }
  void handle(Time now, Parsed& parsed) {
    if (!is_open() || is_ending()) return;
    if (!parsed.good) {
      const Status status(IMCTL_INVALID_ARGUMENT, "it says what is no frame");
      end(status, true);
      return node_->link_ended(now, *this, status);
    }
    for (Frame& frame : parsed.frames) {
      if (const auto* answer = std::get_if<Joined>(&frame); answer && !joined(now, *answer)) return;
      const bool over = std::holds_alternative<Superseded>(frame);
      node_->machine().frame(now, id_, std::move(frame));
      if (over) return node_->superseded(now);
    }
    read();
  }
  bool joined(Time now, const Joined& joined) {
    service_ = joined.service;
    // One's own address may be in the list that all hosts have.
    if (!address_.empty() && node_->options().is_service && service_ == node_->options().name) {
      const Status self(IMCTL_ALREADY_EXISTS, "it is this host");
      end(self, true);
      node_->link_ended(now, *this, self);
      return false;
    }
    node_->failures_.erase(address_);
    node_->problems_.erase(address_);
    node_->host().info("joined the cluster service " + service_ +
                       (address_.empty() ? " of this host" : " at " + address_));
    return true;
  }
  void written(Time now, size_t size) override { node_->machine().link_written(now, id_, size); }
  void broken(Time now, const Status& status) override { node_->link_ended(now, *this, status); }

  NodeShell* const node_;
  const LinkId id_;
  const std::string address_;
  std::string service_;
};

struct NodeShell::Metrics {
  explicit Metrics(const Host& host)
      : sessions(host.gauge("imctl_router_sessions", "Clients that are connected to this node")),
        users(host.gauge("imctl_router_users", "Different users among them")),
        links(host.gauge("imctl_router_links", "Cluster services that this node is joined with")),
        accepted(messages(host, "accepted")),
        rejected(messages(host, "rejected")),
        delivered(messages(host, "delivered")),
        acknowledged(messages(host, "acknowledged")),
        pushes_out(host.counter("imctl_router_pushes_total",
                                "Frames with messages to and from services", "direction=\"out\"")),
        pushes_in(host.counter("imctl_router_pushes_total",
                               "Frames with messages to and from services", "direction=\"in\"")),
        dropped(host.counter("imctl_router_pushes_dropped_total",
                             "Frames that a full queue did not take")),
        cut(host.counter("imctl_router_sessions_cut_total",
                         "Clients that neither read nor acknowledged")) {}

  static Metric messages(const Host& host, const std::string& what) {
    return host.counter("imctl_router_messages_total", "Messages, by what became of them",
                        "event=\"" + what + "\"");
  }

  const Metric sessions, users, links, accepted, rejected, delivered, acknowledged, pushes_out,
      pushes_in, dropped, cut;
  NodeStats last;
  Time due = 0;
};

NodeShell::NodeShell(const Host& host, Loop* loop, Directory* directory)
    : host_(host),
      loop_(loop),
      directory_(directory),
      storage_(host),
      metrics_(std::make_unique<Metrics>(host)) {}

NodeShell::~NodeShell() = default;

void NodeShell::serve(Module* module) {
  module->serve("/imctl.session.v1.Sessions/Connect", &NodeShell::connect, this);
}

void NodeShell::begin(const Options& options, uint64_t boot, uint64_t seed) {
  options_ = options;
  storage_.set_timeout(options.storage_timeout);
  if (!options.is_node) return;
  options_.node.boot = boot;
  options_.node.version = IMCTL_ROUTER_VERSION;
  random_ = Random(seed);
  leaving_ = false;
  machine_ = std::make_unique<NodeMachine>(options_.node, seed);
}

// ---- clients

void NodeShell::connect(void* user, imctl_call* call, const imctl_context* context,
                        imctl_buffer* /*request*/) {
  auto* self = static_cast<NodeShell*>(user);
  std::string who;
  Status status;
  if (self->machine_ == nullptr) {
    status = Status(IMCTL_FAILED_PRECONDITION,
                    "this host is no node (router.roles): connect to another");
  } else if (context->principal_kind == IMCTL_PRINCIPAL_USER) {
    who = to_view(context->principal);
  } else if (context->principal_kind != IMCTL_PRINCIPAL_ADMIN) {
    status = Status(IMCTL_PERMISSION_DENIED, "sessions are for users: log in as one");
  }
  if (!status.ok()) return self->host_.finish(call, status, Buffer());
  auto stream = std::make_shared<SessionStream>(self, std::move(who));
  stream->serve(call);
  self->loop_->post([stream](Time) { stream->read(); });
}

Status NodeShell::admit(SessionStream* stream) {
  if (leaving_) {
    return retry_later(IMCTL_UNAVAILABLE, "node " + options_.name + " stops: connect to another");
  }
  if (sessions_.size() >= options_.max_sessions) {
    return retry_later(IMCTL_UNAVAILABLE, "node " + options_.name +
                                              " is full (router.max_sessions): connect to another");
  }
  stream->set_id(++last_session_);
  sessions_.emplace(last_session_,
                    std::static_pointer_cast<SessionStream>(stream->shared_from_this()));
  return {};
}

void NodeShell::closed(Time now, SessionStream& stream) {
  if (stream.id() == 0 || sessions_.erase(stream.id()) == 0) return;
  machine_->gone(now, stream.id());
}

std::string NodeShell::name_of(SessionId session) const {
  return options_.name + "/" + std::to_string(session);
}

void NodeShell::changed(const std::string& user) {
  // Of users who came by themselves the host ends the streams.
  for (const auto& [id, stream] : sessions_) {
    if (!stream->is_by_admin() || (!user.empty() && stream->user() != user)) continue;
    directory_->admit(stream->user(), [this, id = id](const Result<std::string>& still) {
      const imctl_code code = still.status().code();
      if (still.ok() || (code != IMCTL_NOT_FOUND && code != IMCTL_PERMISSION_DENIED)) return;
      loop_->post([this, id, words = still.status().message()](Time now) {
        if (machine_ != nullptr) machine_->close_session(now, id, Code::kUnauthenticated, words);
      });
    });
  }
}

// ---- services

void NodeShell::dial_all(Time now) {
  if (options_.is_service) dial(now, "");
  for (const std::string& address : options_.services) dial(now, address);
}

void NodeShell::dial(Time now, const std::string& address) {
  if (leaving_ || machine_ == nullptr) return;
  const std::string method =
      "/imctl.cluster.v1.Cluster/Join" + (address.empty() ? "" : "@" + address);
  auto link = std::make_shared<Link>(this, ++last_link_, address);
  links_.emplace(link->id(), link);
  link->dial(host_.client().resolve(host_.raw(), to_str(method)));
  link->read();
  machine_->link_up(now, link->id());
}

void NodeShell::link_ended(Time now, Link& link, const Status& status) {
  if (links_.erase(link.id()) == 0) return;
  machine_->link_down(now, link.id());
  const std::string& address = link.address();
  std::string& problem = problems_[address];
  if (leaving_) return;
  const uint32_t failures = ++failures_[address];
  // What is over with the next try is nobody's concern.
  if (problem != status.message() && (failures > 1 || status.code() == IMCTL_ALREADY_EXISTS)) {
    problem = status.message();
    const std::string what = "no link to the cluster service " +
                             (address.empty() ? "of this host" : "at " + address) + ": " + problem;
    if (status.code() == IMCTL_ALREADY_EXISTS) {
      host_.info(what);
    } else {
      host_.warn(what);
    }
  }
  if (status.code() == IMCTL_ALREADY_EXISTS) return;
  const Time pause = backoff(random_, failures, kFirstRedial, kLongestRedial);
  loop_->post_at(now + pause, [this, address](Time then) { dial(then, address); });
}

std::vector<NodeShell::LinkInfo> NodeShell::links() const {
  std::vector<LinkInfo> all;
  for (const auto& [id, link] : links_) {
    auto problem = problems_.find(link->address());
    all.push_back(
        {link->address(), link->service(), problem == problems_.end() ? "" : problem->second});
  }
  std::sort(all.begin(), all.end(),
            [](const LinkInfo& a, const LinkInfo& b) { return a.address < b.address; });
  return all;
}

// ---- what the machine wants

struct NodeShell::Doer {
  NodeShell* node;

  SessionStream* session(SessionId id) const {
    auto found = node->sessions_.find(id);
    return found == node->sessions_.end() ? nullptr : found->second.get();
  }
  // Answers go to the machine, on the loop.
  template <class Given>
  auto to_machine(void (NodeMachine::*event)(Time, Ticket, Given), Ticket ticket) const {
    using Answer = std::decay_t<Given>;
    return [node = node, event, ticket](Answer answer) {
      auto held = std::make_shared<Answer>(std::move(answer));
      node->loop_->post([node, event, ticket, held](Time now) {
        (node->machine_.get()->*event)(now, ticket, std::move(*held));
      });
    };
  }

  void operator()(Append& append) const {
    node->storage_.append(append.recipients, append.payload,
                          to_machine(&NodeMachine::stored, append.ticket));
  }
  void operator()(const StartRead& read) const {
    node->storage_.read(read.mailbox, read.after, read.limit,
                        to_machine(&NodeMachine::page, read.ticket));
  }
  void operator()(const ListCursors& list) const {
    node->storage_.cursors(list.mailbox, to_machine(&NodeMachine::cursors, list.ticket));
  }
  void operator()(const MoveCursor& move) const {
    node->storage_.move_cursor(move, to_machine(&NodeMachine::moved, move.ticket));
  }
  void operator()(const DropCursor& drop) const { node->storage_.drop_cursor(drop); }
  void operator()(const Opened& opened) const {
    if (SessionStream* to = session(opened.session)) to->opened(opened);
  }
  void operator()(const Deliver& deliver) const {
    if (SessionStream* to = session(deliver.session)) to->deliver(deliver);
  }
  void operator()(const Reset& reset) const {
    if (SessionStream* to = session(reset.session)) to->reset(reset);
  }
  void operator()(const Sent& sent) const {
    if (SessionStream* to = session(sent.session)) to->sent(sent);
  }
  void operator()(const Rejected& rejected) const {
    if (SessionStream* to = session(rejected.session)) {
      to->rejected(rejected.reference, rejected.outcome);
    }
  }
  void operator()(const PauseSends& pause) const {
    if (SessionStream* to = session(pause.session)) to->pause(true);
  }
  void operator()(const ResumeSends& resume) const {
    if (SessionStream* to = session(resume.session)) to->pause(false);
  }
  void operator()(const Moving& moving) const {
    if (SessionStream* to = session(moving.session)) to->moving(moving.within);
  }
  void operator()(const Close& close) const {
    auto found = node->sessions_.find(close.session);
    if (found == node->sessions_.end()) return;
    std::shared_ptr<SessionStream> stream = std::move(found->second);
    node->sessions_.erase(found);
    // Who does not read would not read that either.
    const bool stalled = close.outcome.code == Code::kResourceExhausted;
    stream->end(to_status(close.outcome), stalled);
    // And who reads gets a while for it.
    node->loop_->post_at(Loop::now() + node->options_.node.stall_timeout,
                         [stream = std::weak_ptr<SessionStream>(stream)](Time) {
                           if (auto still = stream.lock()) still->end(Status(), true);
                         });
  }
  void operator()(SendFrame& send) const {
    auto link = node->links_.find(send.link);
    if (link == node->links_.end()) return;
    if (link->second->outbox.add(std::move(send.frame), send.size)) {
      node->unsent_.push_back(link->second);
    }
  }
  void operator()(const DropLink& drop) const {
    auto found = node->links_.find(drop.link);
    if (found == node->links_.end()) return;
    std::shared_ptr<Link> link = found->second;
    const Status status = to_status(drop.outcome);
    link->end(status, true);
    node->link_ended(Loop::now(), *link, status);
  }
};

Time NodeShell::turn(Time now) {
  if (machine_ == nullptr) return kNever;
  if (machine_->next_deadline() <= now) machine_->tick(now);
  for (;;) {
    machine_->take(actions_);
    if (actions_.empty()) break;
    for (NodeAction& action : actions_) std::visit(Doer{this}, action);
  }
  std::erase_if(unsent_, [now](const auto& link) { return link->outbox.flush(now); });
  constexpr Time kMetrics = 1000;
  if (now >= metrics_->due) {
    metrics_->due = now + kMetrics;
    publish_metrics();
  }
  const Time next = std::min(machine_->next_deadline(), metrics_->due);
  return unsent_.empty() ? next : std::min(next, now + 1);
}

void NodeShell::leave(Time now) {
  if (machine_ == nullptr || leaving_) return;
  machine_->leave(now);
  end_links(now);
}

void NodeShell::superseded(Time now) {
  if (leaving_) return;
  host_.set_health(false, "a later start of node " + options_.name + " has taken its place");
  host_.warn(
      "a later start of the node " + options_.name +
      " has joined the cluster: this one is over, and takes no sessions any more. If both are "
      "meant to live, give each a router.name of its own; else stop this host");
  end_links(now);
}

void NodeShell::end_links(Time now) {
  leaving_ = true;
  (void)turn(now);
  for (auto& [id, link] : links_) {
    link->outbox.empty();
    link->end(Status(IMCTL_CANCELLED, "the node stops"), false);
  }
}

void NodeShell::publish_metrics() {
  const NodeStats now = machine_->stats();
  NodeStats& last = metrics_->last;
  metrics_->sessions.set(static_cast<double>(now.sessions));
  metrics_->users.set(static_cast<double>(now.users));
  metrics_->links.set(static_cast<double>(now.links));
  auto add = [](const Metric& metric, uint64_t then, uint64_t since) {
    if (since != then) metric.add(static_cast<double>(since - then));
  };
  add(metrics_->accepted, last.accepted, now.accepted);
  add(metrics_->rejected, last.rejected, now.rejected);
  add(metrics_->delivered, last.delivered, now.delivered);
  add(metrics_->acknowledged, last.acknowledged, now.acknowledged);
  add(metrics_->pushes_out, last.pushes_out, now.pushes_out);
  add(metrics_->pushes_in, last.pushes_in, now.pushes_in);
  add(metrics_->dropped, last.pushes_dropped, now.pushes_dropped);
  add(metrics_->cut, last.cut, now.cut);
  last = now;
}

}  // namespace imctl::router
