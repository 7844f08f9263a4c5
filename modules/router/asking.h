// Calls of other services whose answers are told to a function, on whichever thread they come.
#ifndef IMCTL_ROUTER_ASKING_H
#define IMCTL_ROUTER_ASKING_H

#include <chrono>
#include <functional>
#include <utility>

#include "imctl/client.h"

namespace imctl::router {

using Answered = std::function<void(const Status& status, Buffer reply)>;

// `answered` is called exactly once, maybe before this returns.
void ask(const Host& host, const imctl_target* target, Buffer request,
         std::chrono::milliseconds timeout, Answered answered);

// The same, typed.
template <class Reply, class Request, class F>
void ask(const Method<Request, Reply>& method, const Request& request,
         std::chrono::milliseconds timeout, F answered) {
  ask(method.host(), method.target(), Codec<Request>::serialize(method.host(), request), timeout,
      [answered = std::move(answered)](const Status& status, const Buffer& reply) {
        answered(imctl::detail::parse_reply<Reply>(status, reply));
      });
}

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_ASKING_H
