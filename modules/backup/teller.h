// Replies about work that goes on, not too many of them.
#ifndef IMCTL_BACKUP_TELLER_H
#define IMCTL_BACKUP_TELLER_H

#include <chrono>

#include "core.h"

namespace imctl::backup {

template <class Response>
class Teller {
 public:
  Teller(const Host& host, imctl::Writer<Response>* stream) : host_(host), stream_(stream) {}
  // Not OK: nobody listens any more.
  Task<Status> tell(Response response) {
    if (stream_->context().cancelled()) co_return caller_gone();
    const auto now = std::chrono::steady_clock::now();
    if (now - told_ < kBetweenReplies) co_return Status();
    told_ = now;
    if (!co_await stream_->write(response)) co_return caller_gone();
    co_await on_pool_anew(host_);
    co_return Status();
  }

 private:
  static constexpr std::chrono::milliseconds kBetweenReplies{250};

  const Host& host_;
  imctl::Writer<Response>* const stream_;
  std::chrono::steady_clock::time_point told_;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_TELLER_H
