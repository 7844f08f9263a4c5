// One connection to a Redis server, until it is lost. Blocking: for one thread that may wait.
#ifndef IMCTL_LOCATIONS_REDIS_CONNECTION_H
#define IMCTL_LOCATIONS_REDIS_CONNECTION_H

#include <hiredis/hiredis.h>

#include <memory>
#include <string>
#include <vector>

#include "imctl/status.h"
#include "redis/options.h"

namespace imctl::locations {

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;
using Command = std::vector<std::string>;

class Connection {
 public:
  // Connects, proves who this is, and chooses the database.
  static Result<std::unique_ptr<Connection>> open(const RedisOptions& options);
  ~Connection() { redisFree(context_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Queues a command; read() gives the replies, in order. The first read sends all that is queued.
  // A reply may be an error; no reply: the connection is of no use any more.
  void append(const Command& command);
  Result<Reply> read();
  Result<Reply> ask(const Command& command);

 private:
  Connection(redisContext* context, const RedisOptions& options)
      : context_(context), name_(options.name) {}
  Status lost() const;

  redisContext* const context_;
  const std::string name_;
};

// What went wrong, if it is an error.
std::string error_of(const redisReply& reply);
std::string text_of(const redisReply& reply);

}  // namespace imctl::locations

#endif  // IMCTL_LOCATIONS_REDIS_CONNECTION_H
