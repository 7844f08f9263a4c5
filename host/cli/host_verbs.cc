#include "cli/host_verbs.h"

namespace imctl::host::cli {

void add_host_verbs() {
  set_local_verb("serve", serve);
  set_local_verb("module inspect", inspect_module);
  set_local_verb("module check", check_module);
  set_local_verb("__check", probe_module);
  set_local_verb("module keygen", make_module_key);
  set_local_verb("module sign", sign_module);
  set_local_verb("module verify", verify_module);
  set_local_verb("tls init", init_tls);
  set_local_verb("tls issue", issue_certificate);
  set_local_verb("tls show", show_certificates);
}

}  // namespace imctl::host::cli
