#include "table.h"

#include <algorithm>
#include <utility>

#include "hash.h"

namespace imctl::locations {
namespace {

// A page that finds little does not look at more users than this.
constexpr size_t kLooked = 20000;

uint64_t hash_key(uint64_t node_hash, uint64_t boot, uint64_t session) {
  return mix(node_hash ^ mix(boot ^ mix(session)));
}

}  // namespace

Table::Table() = default;
Table::~Table() = default;

size_t Table::ItemKeyHash::operator()(const ItemKey& key) const { return hash_of(key); }

uint64_t Table::hash_of(const ItemKey& key) {
  return hash_key(key.node->hash, key.boot, key.session);
}

uint64_t Table::hash_of(const ItemKey& key, const Location& location) {
  uint64_t hash = hash_of(key);
  hash = hash_bytes(location.user, hash);
  hash = hash_bytes(location.device, hash);
  return mix(hash ^ static_cast<uint64_t>(location.since));
}

size_t Table::bucket_of(const Key& key) {
  return hash_key(hash_bytes(key.node), key.boot, key.session) % kBuckets;
}

Table::Origin* Table::origin(std::string_view service) const {
  auto found = origins_.find(service);
  return found == origins_.end() ? nullptr : found->second.get();
}

Table::Origin* Table::make(const std::string& service, Epoch epoch) {
  auto made = std::make_unique<Origin>();
  made->service = service;
  made->epoch = epoch;
  return origins_.emplace(service, std::move(made)).first->second.get();
}

void Table::drop(Origin* origin) {
  for (const auto& [key, item] : origin->items) {
    --key.node->count;
    unlist(item);
  }
  size_ -= origin->items.size();
  origins_.erase(origins_.find(origin->service));
}

Table::Node* Table::node(const std::string& name) {
  std::unique_ptr<Node>& found = nodes_[name];
  if (!found) {
    found = std::make_unique<Node>();
    found->name = name;
    found->hash = hash_bytes(name);
  }
  return found.get();
}

bool Table::put(Origin* origin, const Location& location, uint32_t mark) {
  const ItemKey key{node(location.key.node), location.key.boot, location.key.session};
  const uint64_t hash = hash_of(key, location);
  const auto [found, is_new] = origin->items.try_emplace(key);
  Item& item = found->second;
  item.mark = mark;
  if (!is_new && item.hash == hash && item.user->first == location.user &&
      item.device == location.device && item.since == location.since) {
    return false;
  }
  Origin::Bucket& bucket = origin->buckets[hash_of(key) % kBuckets];
  if (is_new) {
    item.key = &found->first;
    item.next = bucket.first;
    if (bucket.first != nullptr) bucket.first->previous = &item;
    bucket.first = &item;
    ++bucket.count;
    ++origin->count;
    ++size_;
    ++key.node->count;
    key.node->newest = std::max(key.node->newest, key.boot);
  } else {
    bucket.hash -= item.hash;
    origin->hash -= item.hash;
    if (item.user->first != location.user) tell(*origin, item);
    unlist(item);
  }
  item.since = location.since;
  item.device = location.device;
  item.hash = hash;
  bucket.hash += hash;
  origin->hash += hash;
  item.user = users_.try_emplace(location.user).first;
  item.user->second.push_back({&item, origin});
  return true;
}

void Table::unlist(const Item& item) {
  std::vector<Ref>& refs = item.user->second;
  auto found =
      std::find_if(refs.begin(), refs.end(), [&](const Ref& r) { return r.item == &item; });
  *found = refs.back();
  refs.pop_back();
  if (refs.empty()) users_.erase(item.user);
}

void Table::remove(Origin* origin, Items::iterator found) {
  Item& item = found->second;
  Origin::Bucket& bucket = origin->buckets[hash_of(found->first) % kBuckets];
  (item.previous != nullptr ? item.previous->next : bucket.first) = item.next;
  if (item.next != nullptr) item.next->previous = item.previous;
  bucket.hash -= item.hash;
  --bucket.count;
  origin->hash -= item.hash;
  --origin->count;
  --size_;
  --found->first.node->count;
  tell(*origin, item);
  unlist(item);
  origin->items.erase(found);
}

void Table::tell(const Origin& origin, const Item& item) const {
  if (!listener_) return;
  listener_(origin, item.user->first, {item.key->node->name, item.key->boot, item.key->session});
}

bool Table::erase(Origin* origin, const Key& key) {
  const auto node = nodes_.find(key.node);
  if (node == nodes_.end()) return false;
  const auto found = origin->items.find({node->second.get(), key.boot, key.session});
  if (found == origin->items.end()) return false;
  remove(origin, found);
  return true;
}

size_t Table::erase_node(Origin* origin, const NodeBoot& gone) {
  const auto node = nodes_.find(gone.node);
  if (node == nodes_.end()) return 0;
  size_t erased = 0;
  for (auto it = origin->items.begin(); it != origin->items.end();) {
    const auto found = it++;
    if (found->first.node != node->second.get() || found->first.boot > gone.boot) continue;
    remove(origin, found);
    ++erased;
  }
  return erased;
}

void Table::sweep(Origin* origin, uint32_t mark, std::vector<Key>* erased) {
  for (auto it = origin->items.begin(); it != origin->items.end();) {
    const auto found = it++;
    if (found->second.mark == mark) continue;
    erased->push_back({found->first.node->name, found->first.boot, found->first.session});
    remove(origin, found);
  }
}

void Table::replace(Origin* origin, size_t bucket, const std::vector<Location>& locations) {
  // What stays is not taken out for a moment: most of it is there already.
  constexpr uint32_t kOld = 1;
  constexpr uint32_t kNew = 2;
  for (Item* item = origin->buckets[bucket].first; item != nullptr; item = item->next) {
    item->mark = kOld;
  }
  for (const Location& location : locations) {
    if (bucket_of(location.key) == bucket) put(origin, location, kNew);
  }
  for (Item* item = origin->buckets[bucket].first; item != nullptr;) {
    Item* const next = item->next;
    if (item->mark != kNew) remove(origin, origin->items.find(*item->key));
    item = next;
  }
}

void Table::read_bucket(const Origin* origin, size_t bucket, std::vector<Location>* out) const {
  for (const Item* item = origin->buckets[bucket].first; item != nullptr; item = item->next) {
    out->push_back({item->user->first,
                    item->device,
                    {item->key->node->name, item->key->boot, item->key->session},
                    item->since});
  }
}

bool Table::visible(Time now, const Ref& ref) {
  if (now >= ref.origin->deadline || ref.item->key->boot != ref.item->key->node->newest) {
    return false;
  }
  const Origin::Bucket& bucket = ref.origin->buckets[hash_of(*ref.item->key) % kBuckets];
  return bucket.synced || now < bucket.shown_until;
}

Table::View Table::view(const std::string& user, const Ref& ref) {
  const ItemKey& key = *ref.item->key;
  return {user,        ref.item->device, key.node->name,     key.boot,
          key.session, ref.item->since,  ref.origin->service};
}

void Table::find(Time now, std::string_view user, std::string_view except,
                 const Reader& reader) const {
  const auto found = users_.find(user);
  if (found == users_.end()) return;
  for (const Ref& ref : found->second) {
    if ((except.empty() || ref.origin->service != except) && visible(now, ref)) {
      reader(view(found->first, ref));
    }
  }
}

std::string Table::page(Time now, const Filter& filter, const std::string& after, size_t limit,
                        const Reader& reader) const {
  auto it = after < filter.prefix || after.empty() ? users_.lower_bound(filter.prefix)
                                                   : users_.upper_bound(after);
  size_t given = 0;
  for (size_t looked = 0; it != users_.end(); ++it) {
    if (!it->first.starts_with(filter.prefix)) break;
    for (const Ref& ref : it->second) {
      if ((!filter.service.empty() && ref.origin->service != filter.service) ||
          (!filter.node.empty() && ref.item->key->node->name != filter.node) ||
          !visible(now, ref)) {
        continue;
      }
      reader(view(it->first, ref));
      ++given;
    }
    if (given >= limit || ++looked >= kLooked) return it->first;
  }
  return {};
}

void Table::forget_nodes() {
  for (auto it = nodes_.begin(); it != nodes_.end();) {
    Node& node = *it->second;
    if (node.count > 0) {
      node.was_empty = false;
      ++it;
    } else if (!std::exchange(node.was_empty, true)) {
      ++it;
    } else {
      it = nodes_.erase(it);
    }
  }
}

}  // namespace imctl::locations
