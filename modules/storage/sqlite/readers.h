// Reading beside the writer: connections that are lent out one call at a time.
#ifndef IMCTL_STORAGE_SQLITE_READERS_H
#define IMCTL_STORAGE_SQLITE_READERS_H

#include <google/protobuf/repeated_field.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "config.h"
#include "imctl/status.h"

namespace imctl::storage {

// From any thread; blocks on the disk. There are as many connections as calls were ever made at
// once.
class Readers {
 public:
  using Ids = google::protobuf::RepeatedPtrField<std::string>;

  explicit Readers(const Options& options);
  ~Readers();

  // The serialized GetBatchResponse for `ids`, all read at one moment: the messages in that order,
  // without those missing or expired. RESOURCE_EXHAUSTED if it would be larger than max_reply.
  Result<std::string> get(const Ids& ids);

 private:
  struct Connection;

  std::unique_ptr<Connection> take();
  void give_back(std::unique_ptr<Connection> connection);

  const Options options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_SQLITE_READERS_H
