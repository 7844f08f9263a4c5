// imctl.host.v1.Modules: what the host knows of its modules, as messages.
#ifndef IMCTL_HOST_BUILTIN_MODULE_MESSAGES_H
#define IMCTL_HOST_BUILTIN_MODULE_MESSAGES_H

#include "core/module_admin.h"
#include "imctl/host/v1/host.pb.h"
#include "imctl/status.h"

namespace imctl::host {

v1::ListModulesResponse list_modules(Host& host);
Result<v1::ChangeModulesResponse> change_modules(const Result<ModuleAdmin::Changes>& changes);

}  // namespace imctl::host

#endif  // IMCTL_HOST_BUILTIN_MODULE_MESSAGES_H
