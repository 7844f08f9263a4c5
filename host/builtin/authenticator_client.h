// The host's calls of imctl.auth.v1.Authenticator, whichever module serves it.
#ifndef IMCTL_HOST_BUILTIN_AUTHENTICATOR_CLIENT_H
#define IMCTL_HOST_BUILTIN_AUTHENTICATOR_CLIENT_H

#include <functional>
#include <memory>
#include <mutex>

#include "core/access_control.h"
#include "imctl/auth/v1/authenticator.pb.h"
#include "imctl/sdk.h"

namespace imctl::host {

class Host;

// As the host's own module; from its activate to its quiesce.
class AuthenticatorClient final : public AccessControl::Authenticator,
                                  public std::enable_shared_from_this<AuthenticatorClient> {
 public:
  static std::shared_ptr<AuthenticatorClient> make(const imctl::Host& handle, Host& host) {
    return std::shared_ptr<AuthenticatorClient>(new AuthenticatorClient(handle, host));
  }

  // Listens to changes, and begins again whenever that ends.
  void start();
  // No question is asked after this; those that are asked are answered before the module's calls
  // are drained.
  void stop();

  void ask(const AccessControl::Question& question,
           std::function<void(Result<Person>)> answer) override;
  void modules_changed() override { wake(); }

 private:
  using Changes = ClientStream<auth::v1::WatchRequest, auth::v1::Change>;
  using Self = std::shared_ptr<AuthenticatorClient>;

  AuthenticatorClient(const imctl::Host& handle, Host& host);

  static imctl::detail::Detached watch(Self self);
  Task<void> listen();
  void take(const auth::v1::Change& change);
  bool stopped() const;
  void wake();

  Host& host_;
  const Method<auth::v1::AuthenticateRequest, auth::v1::Identity> authenticate_;
  const Method<auth::v1::ResolveRequest, auth::v1::Identity> resolve_;
  const Method<auth::v1::WatchRequest, auth::v1::Change> watch_;
  const std::shared_ptr<Event> woken_ = std::make_shared<Event>();
  bool told_ = false;  // of changes; the watch's own
  mutable std::mutex mutex_;
  bool stopped_ = false;
  std::shared_ptr<Changes> open_;  // for stop() to cancel
};

// An answer of the authenticator's.
Person person_of(const auth::v1::Identity& identity);

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_AUTHENTICATOR_CLIENT_H
