// The verbs that need the host's own code, a file each.
#ifndef IMCTL_HOST_CLI_HOST_VERBS_H
#define IMCTL_HOST_CLI_HOST_VERBS_H

#include "cli/local_verbs.h"

namespace imctl::host::cli {

Status serve(LocalCall& call);
Status inspect_module(LocalCall& call);
Status check_module(LocalCall& call);
Status probe_module(LocalCall& call);
Status make_module_key(LocalCall& call);
Status sign_module(LocalCall& call);
Status verify_module(LocalCall& call);
Status init_tls(LocalCall& call);
Status issue_certificate(LocalCall& call);
Status show_certificates(LocalCall& call);

// Puts them into the table of local verbs.
void add_host_verbs();

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_HOST_VERBS_H
