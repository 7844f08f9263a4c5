// A module whose code is another host.
#ifndef IMCTL_HOST_GRPC_REMOTE_CODE_H
#define IMCTL_HOST_GRPC_REMOTE_CODE_H

#include <functional>
#include <memory>
#include <string>

#include "grpc/remote_catalog.h"
#include "imctl/status.h"
#include "road/module_code.h"

namespace imctl::host {

// Between activate and deactivate it watches the host, tells the instance's health, and calls
// `on_changed` when the host serves other methods than described, on a thread of its own that must
// not wait for this instance.
Result<std::unique_ptr<ModuleCode>> make_remote_code(
    std::shared_ptr<const RemoteDescription> description, std::function<void()> on_changed);

// Passes the methods of the instance on to `address`, and watches nothing.
Result<std::unique_ptr<ModuleCode>> make_forwarder(const std::string& address,
                                                   const RemoteSettings& settings);

}  // namespace imctl::host

#endif  // IMCTL_HOST_GRPC_REMOTE_CODE_H
