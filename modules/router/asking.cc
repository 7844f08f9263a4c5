#include "asking.h"

#include <memory>

namespace imctl::router {
namespace {

struct Asking {
  Host host;
  Answered answered;
};

}  // namespace

void ask(const Host& host, const imctl_target* target, Buffer request,
         std::chrono::milliseconds timeout, Answered answered) {
  static constexpr imctl_client_events kEvents = {
      sizeof(imctl_client_events), 0, nullptr, nullptr,
      [](void* user, const imctl_status* status, imctl_buffer* reply) {
        std::unique_ptr<Asking> asking(static_cast<Asking*>(user));
        asking->answered(Status(status), asking->host.adopt(reply));
      }};
  imctl_client_options options{sizeof(imctl_client_options)};
  options.timeout = std::chrono::nanoseconds(timeout).count();
  auto asking = std::make_unique<Asking>(Asking{host, std::move(answered)});
  const imctl_client_table& client = host.client();
  client.release(
      client.start(host.raw(), target, &options, request.give(), &kEvents, asking.release()));
}

}  // namespace imctl::router
