#include "replica.h"

#include <algorithm>
#include <utility>

namespace imctl::locations {
namespace {

// A change that is known to be there and has not come may only be late.
constexpr Time kGrace = 250;
// Others who miss the same ask within this time; the first one's answer is for all.
constexpr Time kAskFrom = 20;
constexpr Time kAskTo = 200;
constexpr Time kFirstPause = 500;
constexpr Time kLongestPause = 8000;
constexpr Time kSumsPause = 200;
constexpr int kFarewells = 3;
constexpr size_t kBucketBytes = 8;

}  // namespace

Replica::Replica(const Options& options)
    : options_(options),
      random_(options.seed),
      local_(&table_, options.incarnation, options.message_bytes) {}

Time Replica::jitter(Time from, Time to) {
  return std::uniform_int_distribution<Time>(from, to)(random_);
}

void Replica::send(Message message, Output* out) const {
  if (options_.alone || !connected_) return;
  message.from = options_.instance;
  out->push_back(std::move(message));
}

Verdict Replica::report(Time now, const Report& report, Output* out) {
  const auto other = remotes_.find(report.service);
  if (other != remotes_.end()) {
    const Epoch epoch = other->second.origin->epoch;
    if (epoch.boot > report.boot && now < other->second.origin->deadline) return Verdict::kOlder;
    if (!report.begin) return report.leave ? Verdict::kTaken : Verdict::kReportAll;
    local_.later_than(epoch.incarnation);
    drop(report.service);
  }
  std::vector<Delta> deltas;
  std::vector<Local::Gone> gone;
  const Verdict verdict = local_.report(now, report, &deltas, &gone);
  farewell(gone);
  for (Delta& delta : deltas) send({0, std::move(delta)}, out);
  const auto service = local_.services().find(report.service);
  if (!gone.empty() ||
      (service != local_.services().end() && std::exchange(service->second.changed, false))) {
    beat(now, out);
  }
  return verdict;
}

void Replica::farewell(const std::vector<Local::Gone>& gone) {
  for (const Local::Gone& one : gone) {
    Farewell made;
    made.digest.service = one.service;
    made.digest.epoch = one.epoch;
    made.left = kFarewells;
    farewells_.push_back(std::move(made));
    wanted_.erase(one.service);
  }
}

void Replica::drop(const std::string& service) {
  const auto found = remotes_.find(service);
  if (found == remotes_.end()) return;
  table_.drop(found->second.origin);
  remotes_.erase(found);
}

void Replica::set_connected(Time now, bool connected, Output* out) {
  if (connected == std::exchange(connected_, connected)) return;
  echo_ = kNever;
  if (connected) beat(now, out);
}

void Replica::receive(Time now, const Message& message, Output* /*out*/) {
  if (message.from == options_.instance) {
    if (!std::holds_alternative<Beat>(message.body)) return;
    if (silent(now, kStale)) fresh_from_ = now + options_.beat * 3 / 2;
    // Until then each of the others has sent a beat that counts.
    if (silent(now, kSilent)) settled_ = now + options_.beat * 3;
    echo_ = now;
    return;
  }
  std::visit([&](const auto& body) { on(now, body); }, message.body);
}

Replica::Remote* Replica::remote(Time now, const std::string& service, Epoch epoch, bool alive) {
  const auto here = local_.services().find(service);
  if (here != local_.services().end()) {
    if (epoch <= here->second.origin->epoch) return nullptr;
    local_.drop(service);  // another process is that service now
    wanted_.erase(service);
  }
  auto found = remotes_.find(service);
  if (found != remotes_.end() && found->second.origin->epoch != epoch) {
    const Table::Origin& known = *found->second.origin;
    // A clock that went back must not shut a service out for ever.
    if (epoch < known.epoch && !(alive && now >= known.deadline)) return nullptr;
    drop(service);
    found = remotes_.end();
  }
  if (found == remotes_.end()) {
    if (remotes_.size() >= options_.max_services) return nullptr;
    found = remotes_.emplace(service, Remote()).first;
    found->second.origin = table_.make(service, epoch);
    found->second.origin->deadline = now;
    found->second.pause = kFirstPause;
  }
  return &found->second;
}

void Replica::on(Time now, const Beat& beat) {
  for (const Digest& digest : beat.digests) on_digest(now, beat.number, digest);
}

void Replica::on_digest(Time now, uint64_t beat, const Digest& digest) {
  // The farewell of one that is not known is no news.
  if (digest.lease <= 0 && remotes_.find(digest.service) == remotes_.end()) return;
  Remote* const r = remote(now, digest.service, digest.epoch, digest.lease > 0);
  if (r == nullptr || beat <= r->beat) return;
  r->beat = beat;
  r->complete = digest.complete;
  r->heard_until = now + std::max<Time>(digest.lease, 0);
  if (digest.lease <= 0) {
    r->origin->deadline = now;
    expire(now);
    return;
  }
  if (fresh(now)) {
    r->origin->deadline = r->heard_until;
    r->expired = false;
  }
  compare(now, r, digest);
}

void Replica::compare(Time now, Remote* r, const Digest& digest) {
  if (digest.number < r->number) {  // overtaken by changes
    r->verified_until = r->origin->deadline;
    return;
  }
  if (digest.number > r->number) {
    if (r->target <= r->number) r->behind_since = now;
    r->target = std::max(r->target, digest.number);
    // Of one that is new there is nothing that could be late.
    if (r->number > 0 || r->origin->count > 0) return;
    gap(now, r, r->target);
  }
  if (r->origin->count == digest.count && r->origin->hash == digest.hash) {
    r->verified_until = r->origin->deadline;
    if (r->unsynced == 0) return;
    for (auto& bucket : r->origin->buckets) sync(r, &bucket, r->number);
  } else if (r->unsynced == 0) {
    for (auto& bucket : r->origin->buckets) desync(r, &bucket);
    r->need_sums = true;
    r->next_ask = now + jitter(kAskFrom, kAskTo);
  }
}

void Replica::on(Time now, const Delta& delta) {
  Remote* const r = remote(now, delta.service, delta.epoch, false);
  if (r == nullptr || delta.number <= r->number) return;
  if (delta.number > r->number + 1) gap(now, r, delta.number - 1);
  apply(r, delta);
  r->number = delta.number;
}

void Replica::apply(Remote* r, const Delta& delta) {
  Table::Origin* const origin = r->origin;
  for (const NodeBoot& node : delta.change.gone) table_.erase_node(origin, node);
  if (!delta.change.gone.empty()) {
    r->last_gone = delta.number;
    // Buckets that came from after this change may have lost what was added again.
    if (r->newest_at >= delta.number) {
      for (auto& bucket : origin->buckets) {
        if (bucket.at >= delta.number) desync(r, &bucket);
      }
      r->need_sums = true;
    }
  }
  for (const Key& key : delta.change.remove) {
    auto& bucket = origin->buckets[Table::bucket_of(key)];
    if (bucket.at >= delta.number) continue;
    bucket.touched = delta.number;
    table_.erase(origin, key);
  }
  for (const Location& location : delta.change.add) {
    auto& bucket = origin->buckets[Table::bucket_of(location.key)];
    if (bucket.at >= delta.number) continue;
    bucket.touched = delta.number;
    table_.put(origin, location);
  }
}

void Replica::gap(Time now, Remote* r, uint64_t upto) {
  ++counts_.gaps;
  for (auto& bucket : r->origin->buckets) {
    if (bucket.at < upto) desync(r, &bucket);
  }
  r->number = upto;
  r->run_start = upto + 1;
  r->need_sums = true;
  r->next_ask = std::max(r->next_ask, now + jitter(kAskFrom, kAskTo));
}

void Replica::desync(Remote* r, Table::Origin::Bucket* bucket) {
  if (!std::exchange(bucket->synced, false)) return;
  bucket->shown_until = r->verified_until;
  ++r->unsynced;
}

void Replica::sync(Remote* r, Table::Origin::Bucket* bucket, uint64_t at) {
  bucket->at = std::max(bucket->at, at);
  r->newest_at = std::max(r->newest_at, at);
  if (std::exchange(bucket->synced, true)) return;
  --r->unsynced;
  r->pause = kFirstPause;
}

bool Replica::fits(const Remote& r, const Table::Origin::Bucket& bucket, uint64_t number) {
  return number >= std::max({bucket.touched, r.last_gone, bucket.at}) && number + 1 >= r.run_start;
}

void Replica::on(Time now, const Sums& sums) {
  Remote* const r = remote(now, sums.service, sums.epoch, false);
  if (r == nullptr || sums.hashes.size() != kBuckets) return;
  for (size_t i = 0; i < kBuckets; ++i) {
    auto& bucket = r->origin->buckets[i];
    if (!fits(*r, bucket, sums.number)) continue;
    if (bucket.hash == sums.hashes[i]) {
      sync(r, &bucket, sums.number);
    } else if (sums.number <= r->number) {
      desync(r, &bucket);
    }
  }
  if (sums.number + 1 < r->run_start) return;
  r->need_sums = false;
  r->next_ask = now + jitter(0, kAskFrom);
}

void Replica::on(Time now, const Part& part) {
  Remote* const r = remote(now, part.service, part.epoch, false);
  if (r == nullptr) return;
  for (const Bucket& given : part.buckets) {
    if (given.index >= kBuckets) continue;
    auto& bucket = r->origin->buckets[given.index];
    if (bucket.synced || !fits(*r, bucket, part.number)) continue;
    table_.replace(r->origin, given.index, given.locations);
    sync(r, &bucket, part.number);
    ++counts_.repaired;
    r->next_ask = now + r->pause;
  }
}

void Replica::on(Time now, const Ask& ask) {
  const auto here = local_.services().find(ask.service);
  if (here == local_.services().end()) {
    // What another one asks for comes here too.
    const auto there = remotes_.find(ask.service);
    if (there == remotes_.end() || there->second.origin->epoch != ask.epoch) return;
    there->second.next_ask =
        std::max(there->second.next_ask, now + jitter(kAskTo, kAskTo + kFirstPause));
    return;
  }
  if (here->second.origin->epoch != ask.epoch) return;
  Wanted& wanted = wanted_[ask.service];
  if (wanted.epoch != ask.epoch) wanted = Wanted();
  wanted.epoch = ask.epoch;
  if (ask.sums) {
    wanted.sums = true;
    return;
  }
  auto want = [&](size_t index) {
    if (index >= kBuckets || wanted.bucket[index]) return;
    wanted.bucket[index] = true;
    ++wanted.buckets;
  };
  for (const uint16_t index : ask.buckets) want(index);
  for (size_t i = 0; i < kBuckets && ask.buckets.empty(); ++i) want(i);
}

void Replica::tick(Time now, Output* out) {
  std::vector<Local::Gone> gone;
  local_.expire(now, &gone);
  farewell(gone);
  expire(now);
  if (now >= next_beat_ || !gone.empty()) beat(now, out);
  ask(now, out);
  serve(now, out);
  if (now < next_forget_) return;
  if (next_forget_ != 0) table_.forget_nodes();
  next_forget_ = now + options_.forget;
}

void Replica::expire(Time now) {
  std::vector<std::string> forgotten;
  for (auto& [service, r] : remotes_) {
    Table::Origin* const origin = r.origin;
    if (origin->deadline > now) continue;
    if (!std::exchange(r.expired, true)) {
      for (auto& bucket : origin->buckets) {
        desync(&r, &bucket);
      }
      r.need_sums = true;
    }
    if (std::max(origin->deadline, r.heard_until) + options_.forget <= now) {
      forgotten.push_back(service);
    }
  }
  for (const std::string& service : forgotten) drop(service);
}

void Replica::ask(Time now, Output* out) {
  for (auto& [service, r] : remotes_) {
    if (now >= r.heard_until) continue;
    if (r.target > r.number && now - r.behind_since >= kGrace) gap(now, &r, r.target);
    if (r.unsynced == 0 || now < r.next_ask || !connected_) continue;
    Ask ask;
    ask.service = service;
    ask.epoch = r.origin->epoch;
    ask.sums = r.need_sums && r.origin->count > 0;
    if (!ask.sums && r.unsynced < kBuckets) {
      for (size_t i = 0; i < kBuckets; ++i) {
        if (!r.origin->buckets[i].synced) ask.buckets.push_back(static_cast<uint16_t>(i));
      }
    }
    ++counts_.asks;
    send({0, std::move(ask)}, out);
    r.next_ask = now + jitter(r.pause / 2, r.pause * 3 / 2);
    r.pause = std::min(2 * r.pause, kLongestPause);
  }
}

void Replica::serve(Time now, Output* out) {
  size_t left = options_.burst;
  for (auto& [name, wanted] : wanted_) {
    const auto here = local_.services().find(name);
    if (here == local_.services().end() || here->second.origin->epoch != wanted.epoch) continue;
    const Table::Origin& origin = *here->second.origin;
    if (wanted.sums && now >= wanted.next_sums) {
      Sums sums{name, origin.epoch, here->second.version, {}};
      sums.hashes.reserve(kBuckets);
      for (const auto& bucket : origin.buckets) sums.hashes.push_back(bucket.hash);
      send({0, std::move(sums)}, out);
      wanted.sums = false;
      wanted.next_sums = now + kSumsPause;
    }
    Part part{name, origin.epoch, here->second.version, {}};
    size_t bytes = 0;
    for (size_t i = 0; i < kBuckets && wanted.buckets > 0 && left > 0; ++i) {
      if (!wanted.bucket[i]) continue;
      wanted.bucket[i] = false;
      --wanted.buckets;
      ++counts_.served;
      Bucket bucket{static_cast<uint16_t>(i), {}};
      table_.read_bucket(&origin, i, &bucket.locations);
      size_t more = kBucketBytes;
      for (const Location& location : bucket.locations) more += bytes_of(location);
      if (!part.buckets.empty() && bytes + more > options_.message_bytes) {
        send({0, std::exchange(part, {name, origin.epoch, here->second.version, {}})}, out);
        bytes = 0;
      }
      part.buckets.push_back(std::move(bucket));
      bytes += more;
      left -= std::min(left, more);
    }
    if (!part.buckets.empty()) send({0, std::move(part)}, out);
  }
}

void Replica::beat(Time now, Output* out) {
  next_beat_ = now + options_.beat;
  Beat made;
  made.number = ++beats_;
  for (const auto& [service, here] : local_.services()) {
    const Table::Origin& origin = *here.origin;
    made.digests.push_back({service, origin.epoch, here.version, origin.count, origin.hash,
                            origin.deadline - now, here.complete});
  }
  for (Farewell& farewell : farewells_) {
    made.digests.push_back(farewell.digest);
    --farewell.left;
  }
  std::erase_if(farewells_, [](const Farewell& farewell) { return farewell.left <= 0; });
  send({0, std::move(made)}, out);
}

bool Replica::silent(Time now, Time halves) const {
  return now - echo_ >= options_.beat * halves / 2;
}

bool Replica::fresh(Time now) const {
  return options_.alone || (!silent(now, kStale) && now >= fresh_from_);
}

size_t Replica::peers(Time now, std::string_view but) const {
  size_t count = 0;
  for (const auto& [service, origin] : table_.origins()) {
    if (service != but && now < origin->deadline) ++count;
  }
  return count;
}

std::string Replica::doubt(Time now, std::string_view but) const {
  std::string why;
  state(now, but, &why);
  return why;
}

bool Replica::state(Time now, std::string_view but, std::string* why) const {
  auto doubt = [&](auto... parts) {
    if (why != nullptr) ((*why += parts), ...);
    return false;
  };
  if (!options_.alone) {
    if (!connected_) return doubt("the broker is away");
    if (silent(now, kSilent)) return doubt("what is sent does not come back from the broker");
    if (now < settled_) return doubt("just connected: others have not been heard yet");
  }
  for (const auto& [service, here] : local_.services()) {
    if (!here.complete && service != but)
      return doubt("the service ", service, " has not reported everything yet");
  }
  for (const auto& [service, r] : remotes_) {
    if (now >= r.heard_until || service == but) continue;
    if (!r.complete) return doubt("the service ", service, " has not reported everything yet");
    if (r.expired || r.unsynced > 0 || r.target > r.number) {
      return doubt("locations of the service ", service, " are being fetched");
    }
  }
  return true;
}

std::vector<Replica::Known> Replica::known(Time now) const {
  std::vector<Known> all;
  for (const auto& [service, origin] : table_.origins()) {
    if (now >= origin->deadline) continue;
    Known one{service, origin->epoch, origin->count, origin->deadline - now, false, false};
    const auto here = local_.services().find(service);
    if (here != local_.services().end()) {
      one.local = true;
      one.in_sync = here->second.complete;
    } else {
      const Remote& r = remotes_.find(service)->second;
      one.in_sync = r.complete && r.unsynced == 0 && r.target <= r.number;
    }
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace imctl::locations
