#include "cli/exit_code.h"

namespace imctl::host::cli {

ExitCode exit_code(imctl_code code) {
  switch (code) {
    case IMCTL_OK: return kDone;
    case IMCTL_NOT_FOUND: return kNotFound;
    case IMCTL_PERMISSION_DENIED:
    case IMCTL_UNAUTHENTICATED: return kDenied;
    case IMCTL_UNAVAILABLE: return kUnreachable;
    case IMCTL_ALREADY_EXISTS:
    case IMCTL_ABORTED:
    case IMCTL_FAILED_PRECONDITION: return kConflict;
    case IMCTL_DEADLINE_EXCEEDED: return kDeadline;
    default: return kFailed;
  }
}

std::string_view exit_code_help() {
  return "  0  done\n"
         "  1  failed\n"
         "  2  used wrongly: flags, arguments or the request file\n"
         "  3  not found\n"
         "  4  denied, or not logged in\n"
         "  5  no host answers, or the service is not available now\n"
         "  6  conflict: exists already, changed meanwhile, or not in that state\n"
         "  7  the time was over (--timeout)\n"
         "  8  partly done\n"
         "  130  interrupted\n";
}

}  // namespace imctl::host::cli
