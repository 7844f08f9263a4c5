#include "redis/connection.h"

#include <sys/time.h>

namespace imctl::locations {
namespace {

timeval time_of(Time milliseconds) {
  constexpr Time kSecond = 1000;
  return {milliseconds / kSecond, milliseconds % kSecond * kSecond};
}

}  // namespace

std::string text_of(const redisReply& reply) {
  return reply.str == nullptr ? std::string() : std::string(reply.str, reply.len);
}

std::string error_of(const redisReply& reply) {
  return reply.type == REDIS_REPLY_ERROR ? text_of(reply) : std::string();
}

Result<std::unique_ptr<Connection>> Connection::open(const RedisOptions& options) {
  redisContext* const context =
      redisConnectWithTimeout(options.host.c_str(), options.port, time_of(options.connect_timeout));
  if (context == nullptr) return Status(IMCTL_RESOURCE_EXHAUSTED, "no memory for a connection");
  std::unique_ptr<Connection> made(new Connection(context, options));
  if (context->err != 0) return made->lost();
  redisSetTimeout(context, time_of(options.answer_timeout));
  redisEnableKeepAlive(context);
  std::vector<Command> greeting;
  if (!options.username.empty()) {
    greeting.push_back({"AUTH", options.username, options.password});
  } else if (!options.password.empty()) {
    greeting.push_back({"AUTH", options.password});
  }
  greeting.push_back({"SELECT", options.database});
  for (const Command& command : greeting) {
    Result<Reply> reply = made->ask(command);
    if (!reply.ok()) return reply.status();
    const std::string error = error_of(**reply);
    if (error.empty()) continue;
    const bool login = command[0] == "AUTH" || error.starts_with("NOAUTH");
    return Status(IMCTL_UNAVAILABLE,
                  "the Redis server at " + options.name + " refuses " +
                      (login ? "to let this host in (" + error + "): check username and password"
                             : "the database (" + error + "): check uri"));
  }
  return made;
}

Status Connection::lost() const {
  std::string why = context_->errstr;
  if (context_->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    why = "it does not answer in time";
  }
  return {IMCTL_UNAVAILABLE, "the Redis server at " + name_ + " cannot be reached (" + why + ")"};
}

void Connection::append(const Command& command) {
  std::vector<const char*> arguments;
  std::vector<size_t> sizes;
  arguments.reserve(command.size());
  sizes.reserve(command.size());
  for (const std::string& argument : command) {
    arguments.push_back(argument.data());
    sizes.push_back(argument.size());
  }
  redisAppendCommandArgv(context_, static_cast<int>(command.size()), arguments.data(),
                         sizes.data());
}

Result<Reply> Connection::read() {
  void* reply = nullptr;
  if (redisGetReply(context_, &reply) != REDIS_OK || reply == nullptr) return lost();
  return Reply(static_cast<redisReply*>(reply));
}

Result<Reply> Connection::ask(const Command& command) {
  append(command);
  return read();
}

}  // namespace imctl::locations
