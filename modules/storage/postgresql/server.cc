#include "server.h"

#include <algorithm>

namespace imctl::storage {
namespace {

constexpr std::chrono::milliseconds kFirstPause{50};
constexpr std::chrono::milliseconds kLongestPause{2000};

}  // namespace

Server::Server(Target target, size_t readers)
    : target_(std::move(target)), max_readers_(readers), random_(std::random_device()()) {}

Server::~Server() = default;

void Server::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  free_.notify_all();
}

std::unique_ptr<Connection> Server::connect() {
  {
    std::lock_guard lock(mutex_);
    // One at a time finds out whether it is back.
    if (failures_ > 0 && (listener_tries_ || trying_ || Clock::now() < next_try_)) {
      throw Error("", reason_);
    }
    if (failures_ > 0) trying_ = true;
  }
  return try_once();
}

std::unique_ptr<Connection> Server::connect_listener() { return try_once(); }

std::unique_ptr<Connection> Server::try_once() {
  try {
    auto connection = std::make_unique<Connection>(target_, stopping_);
    std::lock_guard lock(mutex_);
    failures_ = 0;
    trying_ = false;
    listener_tries_ = false;
    return connection;
  } catch (const Error& error) {
    std::lock_guard lock(mutex_);
    trying_ = false;
    reason_ = error.what();
    auto pause = std::min(kLongestPause, kFirstPause * (1 << std::min(failures_, 10)));
    ++failures_;
    // Half of it for sure, the rest by chance: hosts that lost it together do not come together.
    std::uniform_int_distribution<int64_t> some(pause.count() / 2, pause.count());
    next_try_ = Clock::now() + std::chrono::milliseconds(some(random_));
    throw;
  }
}

void Server::listener_lost() {
  std::lock_guard lock(mutex_);
  listener_tries_ = true;
}

Server::Load Server::load() {
  std::lock_guard lock(mutex_);
  return {readers_, idle_.size(), failures_ > 0 ? reason_ : std::string()};
}

std::chrono::milliseconds Server::until_next_try() {
  std::lock_guard lock(mutex_);
  if (failures_ == 0) return std::chrono::milliseconds(0);
  auto left = std::chrono::ceil<std::chrono::milliseconds>(next_try_ - Clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

Server::Lease Server::read() {
  std::unique_ptr<Connection> connection;
  {
    std::unique_lock lock(mutex_);
    bool mine = free_.wait_for(lock, target_.answer_timeout, [this] {
      return stopping_ || !idle_.empty() || readers_ < max_readers_;
    });
    if (stopping_) throw Error("", "the storage is being closed");
    if (!mine) throw Error("53300", "all connections to read with are in use: raise `connections`");
    if (!idle_.empty()) {
      connection = std::move(idle_.back());
      idle_.pop_back();
    } else {
      ++readers_;
    }
  }
  try {
    if (connection == nullptr || !connection->check()) {
      connection.reset();
      connection = connect();
    }
  } catch (const Error&) {
    give_back(nullptr);
    throw;
  }
  return {this, std::move(connection)};
}

Server::Lease::~Lease() {
  if (connection_ == nullptr) return;
  connection_->rollback();
  server_->give_back(std::move(connection_));
}

void Server::give_back(std::unique_ptr<Connection> connection) {
  {
    std::lock_guard lock(mutex_);
    if (connection != nullptr && connection->alive()) {
      idle_.push_back(std::move(connection));
    } else {
      --readers_;
    }
  }
  free_.notify_one();
}

}  // namespace imctl::storage
