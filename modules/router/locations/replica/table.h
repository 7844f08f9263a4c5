// All locations that are known, by who reported them and by user.
//
// What one service reported (an origin) is in a fixed number of buckets by the hash of the key,
// each with a hash of its content: two tables with the same origin are compared, and repaired,
// bucket by bucket. These hashes do not depend on the machine or the order in which things came.
//
// Not for several threads at once.
#ifndef IMCTL_LOCATIONS_TABLE_H
#define IMCTL_LOCATIONS_TABLE_H

#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "location.h"

namespace imctl::locations {

constexpr size_t kBuckets = 4096;
constexpr Time kForEver = std::numeric_limits<Time>::max();

class Table {
 public:
  struct Origin;
  struct Item;

  // What a reader is shown; valid during the call.
  struct View {
    const std::string& user;
    const std::string& device;
    const std::string& node;
    uint64_t boot;
    uint64_t session;
    int64_t since;
    const std::string& service;
  };
  using Reader = std::function<void(const View&)>;

  Table();
  ~Table();
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  // Is told of each location that is taken away, or gets another user, but not of those of an
  // origin that is dropped.
  using Listener =
      std::function<void(const Origin& origin, const std::string& user, const Key& key)>;
  void listen(Listener listener) { listener_ = std::move(listener); }

  // Null: there is none.
  Origin* origin(std::string_view service) const;
  // Empty, and with nothing visible. There must be none of that name.
  Origin* make(const std::string& service, Epoch epoch);
  void drop(Origin* origin);
  const std::map<std::string, std::unique_ptr<Origin>, std::less<>>& origins() const {
    return origins_;
  }

  // Did it change anything? `mark` is noted with the location either way.
  bool put(Origin* origin, const Location& location, uint32_t mark = 0);
  bool erase(Origin* origin, const Key& key);
  // Those of a node up to a boot. Gives how many.
  size_t erase_node(Origin* origin, const NodeBoot& node);
  // Those with another mark, which are handed to `erased` before.
  void sweep(Origin* origin, uint32_t mark, std::vector<Key>* erased);
  // Makes a bucket what the list says. Of other buckets' locations nothing is taken.
  void replace(Origin* origin, size_t bucket, const std::vector<Location>& locations);
  void read_bucket(const Origin* origin, size_t bucket, std::vector<Location>* out) const;
  static size_t bucket_of(const Key& key);

  // The visible locations of a user that services other than `except` reported.
  void find(Time now, std::string_view user, std::string_view except, const Reader& reader) const;

  struct Filter {
    std::string prefix;
    std::string node;
    std::string service;
  };
  // The visible locations of users that begin with the prefix, behind `after`, in order of users,
  // until there are `limit` or a few more. Gives where to go on, or an empty string.
  std::string page(Time now, const Filter& filter, const std::string& after, size_t limit,
                   const Reader& reader) const;

  size_t users() const { return users_.size(); }
  size_t size() const { return size_; }
  // Forgets the boots of nodes that had no location at the last call and have none now.
  void forget_nodes();

 private:
  struct Node {
    std::string name;
    uint64_t hash = 0;
    uint64_t newest = 0;  // of the boots that had a location here
    size_t count = 0;
    bool was_empty = false;
  };
  struct ItemKey {
    Node* node;
    uint64_t boot;
    uint64_t session;
    bool operator==(const ItemKey&) const = default;
  };
  struct ItemKeyHash {
    size_t operator()(const ItemKey& key) const;
  };
  struct Ref {
    const Item* item;
    const Origin* origin;
  };
  using Users = std::map<std::string, std::vector<Ref>, std::less<>>;
  using Items = std::unordered_map<ItemKey, Item, ItemKeyHash>;

  static uint64_t hash_of(const ItemKey& key);
  static uint64_t hash_of(const ItemKey& key, const Location& location);
  Node* node(const std::string& name);
  ItemKey key(const Key& key);
  void remove(Origin* origin, Items::iterator found);
  void unlist(const Item& item);
  void tell(const Origin& origin, const Item& item) const;
  static bool visible(Time now, const Ref& ref);
  static View view(const std::string& user, const Ref& ref);

  std::map<std::string, std::unique_ptr<Origin>, std::less<>> origins_;
  std::unordered_map<std::string, std::unique_ptr<Node>> nodes_;
  Users users_;
  size_t size_ = 0;
  Listener listener_;
};

struct Table::Item {
  const ItemKey* key = nullptr;
  Users::iterator user;
  int64_t since = 0;
  std::string device;
  uint64_t hash = 0;     // of key and value
  Item* next = nullptr;  // of the same bucket
  Item* previous = nullptr;
  uint32_t mark = 0;
};

struct Table::Origin {
  struct Bucket {
    Item* first = nullptr;
    uint32_t count = 0;
    // What is in it may be relied on.
    bool synced = true;
    uint64_t hash = 0;
    // Not synced: what is in it is shown until then.
    Time shown_until = kForEver;
    // It has all changes up to this number; and the last change that touched it here.
    uint64_t at = 0;
    uint64_t touched = 0;
  };

  std::string service;
  Epoch epoch;
  // Its locations are shown until then.
  Time deadline = 0;
  uint64_t hash = 0;
  size_t count = 0;
  std::vector<Bucket> buckets = std::vector<Bucket>(kBuckets);
  Items items;
};

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_TABLE_H
