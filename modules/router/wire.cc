#include "wire.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "google/protobuf/util/time_util.h"
#include "imctl/cluster/v1/link.pb.h"

namespace imctl::router {
namespace {

namespace pb = cluster::v1;
using google::protobuf::util::TimeUtil;

// Of a Timestamp or a Duration that anybody may have written.
template <typename T>
int64_t milliseconds(const T& time) {
  constexpr int64_t kMost = 315'576'000'000;
  return std::clamp(time.seconds(), -kMost, kMost) * 1000 + time.nanos() / 1'000'000;
}

NodeState to_state(int state) {
  switch (state) {
    case pb::CORDONED: return NodeState::kCordoned;
    case pb::DRAINING: return NodeState::kDraining;
    default: return NodeState::kActive;
  }
}
pb::NodeState from_state(NodeState state) {
  switch (state) {
    case NodeState::kCordoned: return pb::CORDONED;
    case NodeState::kDraining: return pb::DRAINING;
    case NodeState::kActive: break;
  }
  return pb::ACTIVE;
}

std::vector<Target> to_targets(google::protobuf::RepeatedPtrField<pb::Target>* from) {
  std::vector<Target> targets;
  targets.reserve(static_cast<size_t>(from->size()));
  for (pb::Target& target : *from) {
    targets.push_back({std::move(*target.mutable_mailbox()), target.epoch(), target.sequence(),
                       target.session()});
  }
  return targets;
}
void from_targets(const std::vector<Target>& from,
                  google::protobuf::RepeatedPtrField<pb::Target>* to) {
  for (const Target& target : from) {
    pb::Target* made = to->Add();
    made->set_mailbox(target.mailbox);
    made->set_epoch(target.epoch);
    made->set_sequence(target.sequence);
    made->set_session(target.session);
  }
}

Push to_push(pb::Push* from) {
  Push push;
  push.from_node = std::move(*from->mutable_from_node());
  push.to_node = std::move(*from->mutable_to_node());
  if (from->has_message()) {
    push.payload = std::make_shared<const std::string>(std::move(*from->mutable_message()));
  }
  push.time = from_timestamp(from->time());
  push.targets = to_targets(from->mutable_targets());
  push.own_only = from->own_only();
  return push;
}
void from_push(const Push& push, pb::Push* to) {
  to->set_from_node(push.from_node);
  to->set_to_node(push.to_node);
  if (push.payload != nullptr) to->set_message(*push.payload);
  *to->mutable_time() = to_timestamp(push.time);
  from_targets(push.targets, to->mutable_targets());
  to->set_own_only(push.own_only);
}

Sessions to_sessions(pb::Sessions* from) {
  Sessions sessions;
  sessions.first = from->first();
  sessions.last = from->last();
  sessions.added.reserve(static_cast<size_t>(from->added_size()));
  for (pb::Sessions::Entry& entry : *from->mutable_added()) {
    sessions.added.push_back({entry.session(), std::move(*entry.mutable_user()),
                              std::move(*entry.mutable_device()), from_timestamp(entry.since())});
  }
  sessions.removed.assign(from->removed().begin(), from->removed().end());
  return sessions;
}
void from_sessions(const Sessions& sessions, pb::Sessions* to) {
  to->set_first(sessions.first);
  to->set_last(sessions.last);
  for (const SessionEntry& entry : sessions.added) {
    pb::Sessions::Entry* made = to->add_added();
    made->set_session(entry.session);
    made->set_user(entry.user);
    made->set_device(entry.device);
    *made->mutable_since() = to_timestamp(entry.since);
  }
  to->mutable_removed()->Assign(sessions.removed.begin(), sessions.removed.end());
}

// What each kind of link carries; the other kind's frames are nothing to it.
struct NodeWriter {
  pb::NodeFrame* to;
  bool operator()(const Join& join) const {
    pb::Join* made = to->mutable_join();
    made->set_node(join.node);
    made->set_boot(join.boot);
    made->set_address(join.address);
    made->set_version(join.version);
    made->set_state(from_state(join.state));
    return true;
  }
  bool operator()(const Renew& renew) const {
    to->mutable_renew()->set_state(from_state(renew.state));
    to->mutable_renew()->set_sessions(renew.sessions);
    return true;
  }
  bool operator()(const Sessions& sessions) const {
    from_sessions(sessions, to->mutable_sessions());
    return true;
  }
  bool operator()(const Push& push) const {
    from_push(push, to->mutable_push());
    return true;
  }
  bool operator()(const Nack& nack) const {
    for (const Nacked& user : nack.users) {
      pb::Nack::User* made = to->mutable_nack()->add_users();
      made->set_user(user.user);
      made->set_session(user.session);
    }
    return true;
  }
  bool operator()(const Lost& /*lost*/) const { return to->mutable_lost() != nullptr; }
  bool operator()(const Leave& /*leave*/) const { return to->mutable_leave() != nullptr; }
  template <class Other>
  bool operator()(const Other& /*other*/) const {
    return false;
  }
};

struct ServiceWriter {
  pb::ServiceFrame* to;
  bool operator()(const Joined& joined) const {
    pb::Joined* made = to->mutable_joined();
    made->set_service(joined.service);
    made->set_boot(joined.boot);
    *made->mutable_lease() = to_duration(joined.lease);
    made->set_kept(joined.kept);
    return true;
  }
  bool operator()(const Registered& /*registered*/) const {
    return to->mutable_registered() != nullptr;
  }
  bool operator()(const Members& members) const {
    to->mutable_members()->set_nodes(members.nodes);
    return true;
  }
  bool operator()(const Push& push) const {
    from_push(push, to->mutable_push());
    return true;
  }
  bool operator()(const Unsure& unsure) const {
    *to->mutable_unsure()->mutable_time() = to_timestamp(unsure.time);
    from_targets(unsure.targets, to->mutable_unsure()->mutable_targets());
    return true;
  }
  bool operator()(const Resync& /*resync*/) const { return to->mutable_resync() != nullptr; }
  bool operator()(const CloseSession& close) const {
    pb::CloseSession* made = to->mutable_close();
    made->set_session(close.session);
    made->set_code(static_cast<int32_t>(close.code));
    made->set_message(close.words);
    return true;
  }
  bool operator()(const Superseded& superseded) const {
    to->mutable_superseded()->set_boot(superseded.boot);
    return true;
  }
  template <class Other>
  bool operator()(const Other& /*other*/) const {
    return false;
  }
};

std::optional<Frame> read_node_frame(pb::NodeFrame* from) {
  switch (from->frame_case()) {
    case pb::NodeFrame::kJoin: {
      pb::Join* join = from->mutable_join();
      return Join{std::move(*join->mutable_node()), join->boot(),
                  std::move(*join->mutable_address()), std::move(*join->mutable_version()),
                  to_state(join->state())};
    }
    case pb::NodeFrame::kRenew:
      return Renew{to_state(from->renew().state()), from->renew().sessions()};
    case pb::NodeFrame::kSessions: return to_sessions(from->mutable_sessions());
    case pb::NodeFrame::kPush: return to_push(from->mutable_push());
    case pb::NodeFrame::kNack: {
      Nack nack;
      for (pb::Nack::User& user : *from->mutable_nack()->mutable_users()) {
        nack.users.push_back({std::move(*user.mutable_user()), user.session()});
      }
      return nack;
    }
    case pb::NodeFrame::kLost: return Lost{};
    case pb::NodeFrame::kLeave: return Leave{};
    case pb::NodeFrame::FRAME_NOT_SET: break;
  }
  return std::nullopt;
}

std::optional<Frame> read_service_frame(pb::ServiceFrame* from) {
  switch (from->frame_case()) {
    case pb::ServiceFrame::kJoined: {
      pb::Joined* joined = from->mutable_joined();
      return Joined{std::move(*joined->mutable_service()), joined->boot(),
                    from_duration(joined->lease()), joined->kept()};
    }
    case pb::ServiceFrame::kRegistered: return Registered{};
    case pb::ServiceFrame::kMembers: return Members{from->members().nodes()};
    case pb::ServiceFrame::kPush: return to_push(from->mutable_push());
    case pb::ServiceFrame::kUnsure:
      return Unsure{from_timestamp(from->unsure().time()),
                    to_targets(from->mutable_unsure()->mutable_targets())};
    case pb::ServiceFrame::kResync: return Resync{};
    case pb::ServiceFrame::kClose: {
      pb::CloseSession* close = from->mutable_close();
      const int code = close->code();
      const bool known = code > IMCTL_OK && code <= IMCTL_UNAUTHENTICATED;
      return CloseSession{close->session(), known ? static_cast<Code>(code) : Code::kAborted,
                          std::move(*close->mutable_message())};
    }
    case pb::ServiceFrame::kSuperseded: return Superseded{from->superseded().boot()};
    case pb::ServiceFrame::FRAME_NOT_SET: break;
  }
  return std::nullopt;
}

template <class Frames, class Read>
Parsed parse(std::string_view bytes, Read read) {
  Frames from;
  if (!from.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return {};
  Parsed parsed{true, {}};
  parsed.frames.reserve(static_cast<size_t>(from.frames_size()));
  for (auto& each : *from.mutable_frames()) {
    if (std::optional<Frame> frame = read(&each)) parsed.frames.push_back(std::move(*frame));
  }
  return parsed;
}

template <class Frames, class Writer>
Buffer serialize(const Host& host, const std::vector<Frame>& frames) {
  Frames to;
  for (const Frame& frame : frames) {
    if (!std::visit(Writer{to.add_frames()}, frame)) to.mutable_frames()->RemoveLast();
  }
  return Codec<Frames>::serialize(host, to);
}

}  // namespace

Parsed parse_node_frames(std::string_view bytes) {
  return parse<pb::NodeFrames>(bytes, read_node_frame);
}

Parsed parse_service_frames(std::string_view bytes) {
  return parse<pb::ServiceFrames>(bytes, read_service_frame);
}

Buffer serialize_node_frames(const Host& host, const std::vector<Frame>& frames) {
  return serialize<pb::NodeFrames, NodeWriter>(host, frames);
}

Buffer serialize_service_frames(const Host& host, const std::vector<Frame>& frames) {
  return serialize<pb::ServiceFrames, ServiceWriter>(host, frames);
}

google::protobuf::Timestamp to_timestamp(WallTime time) {
  return TimeUtil::MillisecondsToTimestamp(time);
}

WallTime from_timestamp(const google::protobuf::Timestamp& time) { return milliseconds(time); }

google::protobuf::Duration to_duration(Time time) {
  return TimeUtil::MillisecondsToDuration(time);
}

Time from_duration(const google::protobuf::Duration& time) { return milliseconds(time); }

WallTime wall_now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace imctl::router
