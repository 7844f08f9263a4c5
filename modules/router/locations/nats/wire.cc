#include "nats/wire.h"

#include "imctl/cluster/nats/v1/wire.pb.h"

namespace imctl::locations {
namespace {

namespace wire = cluster::nats::v1;

void put(wire::Epoch* to, const Epoch& from) {
  to->set_boot(from.boot);
  to->set_incarnation(from.incarnation);
}

template <class To, class From>
void put_head(To* to, const From& from) {
  to->set_service(from.service);
  put(to->mutable_epoch(), from.epoch);
  to->set_number(from.number);
}

void put(wire::Place* to, const Location& from) {
  to->set_user(from.user);
  to->set_device(from.device);
  to->set_node(from.key.node);
  to->set_boot(from.key.boot);
  to->set_session(from.key.session);
  to->set_since_ms(from.since);
}

void put(wire::Envelope* to, const Beat& from) {
  to->mutable_beat()->set_number(from.number);
  for (const Digest& digest : from.digests) {
    auto* made = to->mutable_beat()->add_digests();
    put_head(made, digest);
    made->set_count(digest.count);
    made->set_hash(digest.hash);
    made->set_lease_ms(digest.lease);
    made->set_complete(digest.complete);
  }
}

void put(wire::Envelope* to, const Delta& from) {
  auto* made = to->mutable_delta();
  put_head(made, from);
  for (const NodeBoot& node : from.change.gone) {
    auto* gone = made->add_gone();
    gone->set_node(node.node);
    gone->set_boot(node.boot);
  }
  for (const Key& key : from.change.remove) {
    auto* remove = made->add_remove();
    remove->set_node(key.node);
    remove->set_boot(key.boot);
    remove->set_session(key.session);
  }
  for (const Location& location : from.change.add) put(made->add_add(), location);
}

void put(wire::Envelope* to, const Ask& from) {
  auto* made = to->mutable_ask();
  made->set_service(from.service);
  put(made->mutable_epoch(), from.epoch);
  made->set_sums(from.sums);
  for (const uint16_t index : from.buckets) made->add_buckets(index);
}

void put(wire::Envelope* to, const Sums& from) {
  put_head(to->mutable_sums(), from);
  for (const uint64_t hash : from.hashes) to->mutable_sums()->add_hashes(hash);
}

void put(wire::Envelope* to, const Part& from) {
  put_head(to->mutable_part(), from);
  for (const Bucket& bucket : from.buckets) {
    auto* made = to->mutable_part()->add_buckets();
    made->set_index(bucket.index);
    for (const Location& location : bucket.locations) put(made->add_places(), location);
  }
}

Epoch get(const wire::Epoch& from) { return {from.boot(), from.incarnation()}; }

template <class Made, class From>
Made get_head(const From& from) {
  Made made;
  made.service = from.service();
  made.epoch = get(from.epoch());
  made.number = from.number();
  return made;
}

Location get(const wire::Place& from) {
  return {from.user(), from.device(), {from.node(), from.boot(), from.session()}, from.since_ms()};
}

Beat get(const wire::Beat& from) {
  Beat made;
  made.number = from.number();
  // A year is longer than any lease; it must not overflow.
  constexpr Time kLongest = 365LL * 24 * 3600 * 1000;
  for (const auto& digest : from.digests()) {
    auto one = get_head<Digest>(digest);
    one.count = digest.count();
    one.hash = digest.hash();
    one.lease = std::min<Time>(digest.lease_ms(), kLongest);
    one.complete = digest.complete();
    made.digests.push_back(std::move(one));
  }
  return made;
}

Delta get(const wire::Delta& from) {
  auto made = get_head<Delta>(from);
  for (const auto& gone : from.gone()) made.change.gone.push_back({gone.node(), gone.boot()});
  for (const auto& key : from.remove()) {
    made.change.remove.push_back({key.node(), key.boot(), key.session()});
  }
  for (const auto& place : from.add()) made.change.add.push_back(get(place));
  return made;
}

Ask get(const wire::Ask& from) {
  Ask made;
  made.service = from.service();
  made.epoch = get(from.epoch());
  made.sums = from.sums();
  for (const uint32_t index : from.buckets()) {
    made.buckets.push_back(static_cast<uint16_t>(std::min<uint32_t>(index, UINT16_MAX)));
  }
  return made;
}

Sums get(const wire::Sums& from) {
  auto made = get_head<Sums>(from);
  made.hashes.assign(from.hashes().begin(), from.hashes().end());
  return made;
}

Part get(const wire::Part& from) {
  auto made = get_head<Part>(from);
  for (const auto& bucket : from.buckets()) {
    Bucket one;
    one.index = static_cast<uint16_t>(std::min<uint32_t>(bucket.index(), UINT16_MAX));
    for (const auto& place : bucket.places()) one.locations.push_back(get(place));
    made.buckets.push_back(std::move(one));
  }
  return made;
}

}  // namespace

std::string encode(const Message& message) {
  wire::Envelope envelope;
  envelope.set_from(message.from);
  std::visit([&](const auto& body) { put(&envelope, body); }, message.body);
  return envelope.SerializeAsString();
}

std::optional<Message> decode(std::string_view bytes) {
  wire::Envelope envelope;
  if (bytes.size() > INT32_MAX ||
      !envelope.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return std::nullopt;
  }
  Message made;
  made.from = envelope.from();
  switch (envelope.body_case()) {
    case wire::Envelope::kBeat: made.body = get(envelope.beat()); return made;
    case wire::Envelope::kDelta: made.body = get(envelope.delta()); return made;
    case wire::Envelope::kAsk: made.body = get(envelope.ask()); return made;
    case wire::Envelope::kSums: made.body = get(envelope.sums()); return made;
    case wire::Envelope::kPart: made.body = get(envelope.part()); return made;
    case wire::Envelope::BODY_NOT_SET: return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace imctl::locations
