#include "redis/store.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/requests.h"

namespace imctl::locations {
namespace {

constexpr Time kSecond = 1000;
constexpr Time kFirstPause = 100;
constexpr Time kLongestPause = 2000;
// Until then others have come back as well, if it was Redis that was away.
constexpr Time kSettle = 4000;
constexpr Time kPollPatience = 3000;
constexpr Time kLeftShown = 5000;
constexpr size_t kRound = 4000;  // commands at once
constexpr size_t kMostOps = 200'000;
constexpr size_t kMostLookups = 100'000;
constexpr size_t kDeltaBytes = 1 << 30;  // they stay in the process
constexpr size_t kFoundParts = 3;

uint64_t wall_clock() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

uint64_t number_of(std::string_view digits) {
  uint64_t number = 0;
  for (const char c : digits) {
    number = number * 10 + static_cast<uint64_t>(c >= '0' && c <= '9' ? c - '0' : 0);
  }
  return number;
}

// The parts of a token: see token_of().
constexpr size_t kDigits = 20;
uint64_t boot_of(std::string_view token) { return number_of(token.substr(0, kDigits)); }
uint64_t time_of(std::string_view token) {
  return number_of(token.substr(std::min(token.size(), kDigits + 1)));
}

std::vector<Found> read_all(const redisReply& reply) {
  std::vector<Found> all;
  for (size_t i = 0; i + kFoundParts <= reply.elements; i += kFoundParts) {
    Found found;
    if (read_found(text_of(*reply.element[i]), text_of(*reply.element[i + 1]),
                   text_of(*reply.element[i + 2]), &found)) {
      all.push_back(std::move(found));
    }
  }
  return all;
}

// A lease is over, or late: whether the service is gone is not known.
bool has_lapsed(const redisReply& reply) {
  for (size_t i = 0; i + kFoundParts <= reply.elements; i += kFoundParts) {
    if (text_of(*reply.element[i + 2]).empty()) return true;
  }
  return false;
}

std::string glob_escape(const std::string& text) {
  std::string made;
  for (const char c : text) {
    if (std::string_view("*?[]^-\\").find(c) != std::string_view::npos) made += '\\';
    made += c;
  }
  return made;
}

}  // namespace

Store::Store(RedisOptions options, uint64_t seed)
    : options_(std::move(options)),
      random_(seed),
      pause_(kFirstPause),
      local_(&table_, wall_clock(), kDeltaBytes) {
  table_.listen([this](const Table::Origin& /*origin*/, const std::string& user, const Key& key) {
    removed_.emplace_back(user, key);
  });
}

Command Store::script(Script script, Command arguments) const {
  Command made = {"EVALSHA", digests_[script], "0", options_.prefix};
  made.insert(made.end(), std::make_move_iterator(arguments.begin()),
              std::make_move_iterator(arguments.end()));
  return made;
}

void Store::push(Kind kind, Command command, const std::string& service, const std::string& token) {
  ops_.push_back({kind, std::move(command), service, token});
}

Verdict Store::report(const Report& report) {
  std::lock_guard lock(mutex_);
  const Time now = now_ms();
  const auto other = others_.find(report.service);
  if (other != others_.end() && other->second.boot > report.boot && now < other->second.deadline) {
    return Verdict::kOlder;
  }
  std::vector<Delta> deltas;
  std::vector<Local::Gone> gone;
  removed_.clear();
  const Verdict verdict = local_.report(now, report, &deltas, &gone);
  for (const Local::Gone& one : gone) {
    const auto mine = mine_.find(one.service);
    if (mine == mine_.end()) continue;
    goodbye(one.service, mine->second);
    mine_.erase(mine);
  }
  const auto mine = mine_.find(report.service);
  // What is not there yet is written as a whole.
  if (!connected_ || mine == mine_.end()) return verdict;
  for (const auto& [user, key] : removed_) {
    push(Kind::kWrite, script(kWrite, {escape(report.service), mine->second.token, user,
                                       field_of(report.service, key), "", ""}));
  }
  for (const Delta& delta : deltas) {
    for (const Location& location : delta.change.add) {
      write(mine->second, report.service, location);
    }
  }
  return verdict;
}

void Store::write(const Mine& mine, const std::string& service, const Location& location) {
  const Time now = now_ms();
  const std::string expiry = std::to_string(options_.expiry);
  auto& noted = nodes_[location.key.node];
  if (noted.first < location.key.boot || noted.second + options_.expiry / 3 < now) {
    noted = {std::max(noted.first, location.key.boot), now};
    push(Kind::kWrite, script(kNode, {escape(location.key.node), digits(noted.first), expiry}));
  }
  push(Kind::kWrite,
       script(kWrite, {escape(service), mine.token, location.user, field_of(service, location.key),
                       value_of(mine.token, location), expiry}));
}

void Store::write_bucket(const Mine& mine, const Table::Origin& origin, size_t bucket) {
  std::vector<Location> locations;
  table_.read_bucket(&origin, bucket, &locations);
  for (const Location& location : locations) write(mine, origin.service, location);
}

void Store::begin_anew(Mine* mine, const Table::Origin& origin) {
  last_token_ = std::max(last_token_ + 1, wall_clock());
  *mine = Mine();
  mine->token = token_of(origin.epoch.boot, last_token_);
  nodes_.clear();
  ++counts_.rewrites;
}

void Store::goodbye(const std::string& service, const Mine& mine) {
  if (!connected_) return;
  push(Kind::kWrite, script(kLease, {escape(service), mine.token, std::string(1, kLeft), "0",
                                     std::to_string(kLeftShown), std::to_string(options_.expiry)}));
}

void Store::renew(Time now, const std::string& service, Mine* mine, const Local::Service& local) {
  if (now < mine->next_lease) return;
  const Table::Origin& origin = *local.origin;
  // Several times within what is left, however short leases are: what has none is not believed.
  mine->next_lease = now + std::min(kSecond, (origin.deadline - now) / 4);
  const bool complete = local.complete && mine->cursor == kBuckets;
  push(
      Kind::kLease,
      script(kLease, {escape(service), mine->token, std::string(1, complete ? kComplete : kWriting),
                      std::to_string(origin.count), std::to_string(origin.deadline - now),
                      std::to_string(options_.expiry)}),
      service, mine->token);
}

void Store::tick(Time now) {
  std::vector<Local::Gone> gone;
  local_.expire(now, &gone);
  for (const Local::Gone& one : gone) {
    const auto mine = mine_.find(one.service);
    if (mine == mine_.end()) continue;
    goodbye(one.service, mine->second);
    mine_.erase(mine);
  }
  counts_.locations = table_.size();
  if (!connected_) return;
  if (write_again_ != 0) {
    if (now < write_again_) return;
    write_again_ = 0;
    mine_.clear();
  }
  for (const auto& [service, local] : local_.services()) {
    const auto [found, is_new] = mine_.try_emplace(service);
    Mine& mine = found->second;
    const Table::Origin& origin = *local.origin;
    if (is_new) begin_anew(&mine, origin);
    // The lease comes first: what has another token is removed by whoever sees it.
    renew(now, service, &mine, local);
    if (mine.cursor < kBuckets) {
      while (mine.cursor < kBuckets && ops_.size() < kRound) {
        write_bucket(mine, origin, mine.cursor++);
      }
      if (mine.cursor < kBuckets) continue;
      mine.roll_start = now;
      mine.next_lease = 0;  // behind the last location
      renew(now, service, &mine, local);
      continue;
    }
    const Time span = options_.expiry / 2;
    const auto due =
        static_cast<size_t>((now - mine.roll_start) * static_cast<Time>(kBuckets) / span);
    while (mine.rolled < due && ops_.size() < kRound) {
      write_bucket(mine, origin, mine.rolled++ % kBuckets);
    }
  }
  if (now < next_poll_) return;
  next_poll_ = now + kSecond;
  push(Kind::kServices, script(kServices, {}));
}

void Store::look(const std::string& except, const std::vector<std::string>& users, Looked looked) {
  {
    std::lock_guard lock(mutex_);
    if (connected_ && lookups_.size() < kMostLookups) {
      Command arguments = {"-" + escape(except), ""};
      if (except.empty()) arguments[0] = "";
      arguments.insert(arguments.end(), users.begin(), users.end());
      lookups_.push_back({script(kFind, std::move(arguments)), std::move(looked)});
      return;
    }
  }
  looked(nullptr);
}

void Store::list(Page page, Listed listed) {
  {
    std::lock_guard lock(mutex_);
    if (connected_ && listings_.size() < kPage) {
      listings_.push_back({std::move(page), std::move(listed)});
      return;
    }
  }
  listed(nullptr, "");
}

bool Store::connect(Time now) {
  if (now < next_try_) return false;
  auto opened = Connection::open(options_);
  std::array<std::string, kScripts> digests;
  std::string why = opened.ok() ? "" : opened.status().message();
  for (size_t i = 0; why.empty() && i < kScripts; ++i) {
    Result<Reply> loaded = (*opened)->ask({"SCRIPT", "LOAD", kScriptTexts[i]});
    if (!loaded.ok()) {
      why = loaded.status().message();
    } else if (std::string error = error_of(**loaded); !error.empty()) {
      why = "the Redis server at " + options_.name + " does not take scripts (" + error + ")";
    } else {
      digests[i] = text_of(**loaded);
    }
  }
  std::lock_guard lock(mutex_);
  problem_ = why;
  if (!why.empty()) {
    // Full jitter: all services lost it together.
    next_try_ = now_ms() + std::uniform_int_distribution<Time>(pause_ / 2, pause_)(random_);
    pause_ = std::min(2 * pause_, kLongestPause);
    return false;
  }
  connection_ = std::move(*opened);
  pause_ = kFirstPause;
  digests_ = std::move(digests);
  connected_ = true;
  mine_.clear();
  write_again_ = 0;
  next_poll_ = 0;
  polled_ = now_ms();
  settled_ = polled_ + kSettle;
  return true;
}

void Store::forget_queue() {
  ops_.clear();
  mine_.clear();
}

void Store::lose(const std::string& why) {
  connection_.reset();
  std::vector<Lookup> lookups;
  std::vector<Listing> listings;
  {
    std::lock_guard lock(mutex_);
    connected_ = false;
    problem_ = why;
    forget_queue();
    lookups.swap(lookups_);
    listings.swap(listings_);
  }
  next_try_ = now_ms() + std::uniform_int_distribution<Time>(0, pause_)(random_);
  for (Lookup& lookup : lookups) lookup.looked(nullptr);
  for (Listing& listing : listings) listing.listed(nullptr, "");
}

bool Store::work() {
  if (connection_ == nullptr && !connect(now_ms())) {
    std::lock_guard lock(mutex_);
    tick(now_ms());
    return false;
  }
  std::vector<Op> ops;
  std::vector<Lookup> lookups;
  std::vector<Listing> listings;
  {
    std::lock_guard lock(mutex_);
    if (ops_.size() > kMostOps) forget_queue();
    tick(now_ms());
    const size_t count = std::min(ops_.size(), kRound);
    ops.assign(std::make_move_iterator(ops_.begin()),
               std::make_move_iterator(ops_.begin() + static_cast<ptrdiff_t>(count)));
    ops_.erase(ops_.begin(), ops_.begin() + static_cast<ptrdiff_t>(count));
    lookups.swap(lookups_);
    listings.swap(listings_);
  }
  Status status = round(&ops, &lookups);
  for (Listing& listing : listings) {
    if (status.ok()) status = serve(listing);
    if (!status.ok()) listing.listed(nullptr, "");
  }
  if (!status.ok()) {
    for (Lookup& lookup : lookups) {
      if (lookup.looked) lookup.looked(nullptr);
    }
    lose(status.message());
    return false;
  }
  std::lock_guard lock(mutex_);
  return !ops_.empty() || !lookups_.empty() || !listings_.empty();
}

Status Store::round(std::vector<Op>* ops, std::vector<Lookup>* lookups) {
  // Those who wait for an answer come first.
  for (const Lookup& lookup : *lookups) connection_->append(lookup.command);
  for (const Op& op : *ops) connection_->append(op.command);
  for (Lookup& lookup : *lookups) {
    Result<Reply> reply = connection_->read();
    if (!reply.ok()) return reply.status();
    const std::string error = error_of(**reply);
    // Somebody removed the scripts: they are loaded with a connection.
    if (error.starts_with("NOSCRIPT")) return {IMCTL_UNAVAILABLE, error};
    const std::vector<Found> found = read_all(**reply);
    const bool good = error.empty() && !has_lapsed(**reply);
    std::exchange(lookup.looked, nullptr)(good ? &found : nullptr);
  }
  std::string error;
  for (const Op& op : *ops) {
    Result<Reply> reply = connection_->read();
    if (!reply.ok()) return reply.status();
    std::string wrong = error_of(**reply);
    if (wrong.starts_with("NOSCRIPT")) return {IMCTL_UNAVAILABLE, wrong};
    if (!wrong.empty()) {
      error = std::move(wrong);
    } else if (op.kind != Kind::kWrite) {
      take(op, **reply);
    }
  }
  std::lock_guard lock(mutex_);
  ++counts_.rounds;
  counts_.commands += ops->size() + lookups->size();
  if (!error.empty()) {
    problem_ =
        "the Redis server at " + options_.name + " does not take what is written (" + error + ")";
    ops_.clear();
    write_again_ = now_ms() + kSecond;
  } else if (write_again_ == 0 && !ops->empty()) {
    problem_.clear();
  }
  return {};
}

void Store::take(const Op& op, const redisReply& reply) {
  if (op.kind == Kind::kServices) return take_services(reply);
  std::lock_guard lock(mutex_);
  const auto mine = mine_.find(op.service);
  if (mine == mine_.end() || mine->second.token != op.token) return;
  const std::string before = text_of(reply);
  if (boot_of(before) > boot_of(op.token)) {
    // Another process is this service now.
    local_.drop(op.service);
    mine_.erase(mine);
  } else if (before > op.token) {
    // The clock was put back since this token was taken: the next is newer than that one.
    last_token_ = std::max(last_token_, time_of(before));
    mine_.erase(mine);
  } else if (before != op.token && mine->second.leased) {
    // Redis has lost it: who knows what else.
    mine_.erase(mine);
  } else {
    mine->second.leased = true;
  }
}

void Store::take_services(const redisReply& reply) {
  constexpr size_t kParts = 3;
  std::lock_guard lock(mutex_);
  const Time now = now_ms();
  polled_ = now;
  for (auto& [service, other] : others_) other.missing = true;
  for (size_t i = 0; i + kParts <= reply.elements; i += kParts) {
    const std::string lease = text_of(*reply.element[i + 1]);
    const std::vector<std::string_view> parts = split(lease);
    if (parts.size() != kParts || parts[1].size() != 1) continue;
    const std::string service = unescape(text_of(*reply.element[i]));
    if (parts[1][0] == kLeft) {
      others_.erase(service);
      continue;
    }
    Other& other = others_[service];
    other.token = parts[0];
    other.boot = boot_of(parts[0]);
    other.state = parts[1][0];
    other.count = std::strtoull(std::string(parts[2]).c_str(), nullptr, 10);
    other.deadline = now + std::strtoll(text_of(*reply.element[i + 2]).c_str(), nullptr, 10);
    other.missing = false;
  }
  std::erase_if(others_, [&](const auto& entry) { return entry.second.deadline <= now; });
}

Status Store::serve(const Listing& listing) {
  constexpr size_t kCursorParts = 2;
  const Page& page = listing.page;
  const bool valid = page.token.find_first_not_of("0123456789") == std::string::npos;
  Result<Reply> scanned =
      connection_->ask({"SCAN", page.token.empty() || !valid ? "0" : page.token, "MATCH",
                        glob_escape(options_.prefix + "user:" + page.filter.prefix) + "*", "COUNT",
                        std::to_string(page.limit)});
  if (!scanned.ok()) return scanned.status();
  const redisReply& reply = **scanned;
  if (!error_of(reply).empty() || reply.elements != kCursorParts) {
    listing.listed(nullptr, "");
    return {};
  }
  Command arguments = {page.filter.service.empty() ? "" : "+" + escape(page.filter.service),
                       escape(page.filter.node)};
  const size_t head = options_.prefix.size() + std::string_view("user:").size();
  for (size_t i = 0; i < reply.element[1]->elements; ++i) {
    arguments.push_back(text_of(*reply.element[1]->element[i]).substr(head));
  }
  Result<Reply> looked = connection_->ask(script(kFind, std::move(arguments)));
  if (!looked.ok()) return looked.status();
  const std::vector<Found> found = read_all(**looked);
  const std::string next = text_of(*reply.element[0]);
  listing.listed(&found, next == "0" ? "" : next);
  return {};
}

bool Store::state(Time now, const std::string& but, std::string* why) const {
  auto doubt = [&](auto... parts) {
    if (why != nullptr) ((*why += parts), ...);
    return false;
  };
  if (!problem_.empty()) return doubt(problem_);
  if (!connected_) return doubt("connecting to the Redis server at ", options_.name);
  if (now < settled_) return doubt("just connected: others may not be back yet");
  if (now - polled_ > kPollPatience) return doubt("the Redis server does not answer in time");
  for (const auto& [service, local] : local_.services()) {
    if (service != but && !local.complete) {
      return doubt("the service ", service, " has not reported everything yet");
    }
  }
  for (const auto& [service, other] : others_) {
    if (service == but || now >= other.deadline) continue;
    if (other.missing) {
      return doubt("the lease of the service ", service, " is gone from Redis before its time");
    }
    if (other.state != kComplete) {
      return doubt("the service ", service, " has not written everything yet");
    }
  }
  return true;
}

Store::Standing Store::standing(const std::string& but) const {
  std::lock_guard lock(mutex_);
  const Time now = now_ms();
  Standing made;
  made.sure = state(now, but, nullptr);
  for (const auto& [service, other] : others_) {
    if (service != but && now < other.deadline) ++made.peers;
  }
  for (const auto& [service, local] : local_.services()) {
    if (service != but && others_.find(service) == others_.end()) ++made.peers;
  }
  return made;
}

std::string Store::doubt() const {
  std::lock_guard lock(mutex_);
  std::string why;
  state(now_ms(), "", &why);
  return why;
}

std::vector<Replica::Known> Store::known() const {
  std::lock_guard lock(mutex_);
  const Time now = now_ms();
  std::vector<Replica::Known> all;
  for (const auto& [service, local] : local_.services()) {
    const auto mine = mine_.find(service);
    const bool written = mine != mine_.end() && mine->second.cursor == kBuckets;
    all.push_back({service, local.origin->epoch, local.origin->count, local.origin->deadline - now,
                   local.complete && written, true});
  }
  for (const auto& [service, other] : others_) {
    if (now >= other.deadline || local_.services().find(service) != local_.services().end()) {
      continue;
    }
    all.push_back({service,
                   {other.boot, 0},
                   other.count,
                   other.deadline - now,
                   other.state == kComplete && !other.missing,
                   false});
  }
  return all;
}

Store::Counts Store::counts() const {
  std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.waiting = ops_.size() + lookups_.size();
  return counts;
}

std::string Store::problem() const {
  std::lock_guard lock(mutex_);
  return problem_;
}

void Store::stop() {
  // A service that leaves says so last.
  if (connection_ != nullptr) work();
  lose("the module stops");
}

}  // namespace imctl::locations
