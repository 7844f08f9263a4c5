// Rules 1 to 8: what can be said of a module without running any of its code.
#ifndef IMCTL_HOST_CHECK_STATIC_RULES_H
#define IMCTL_HOST_CHECK_STATIC_RULES_H

#include <string>
#include <vector>

#include "check/findings.h"

namespace imctl::host {

// `own_verbs`: those of the program itself. False: it is so far from a module that there is nothing
// to run.
bool check_file(const std::string& path, const std::vector<std::string>& own_verbs,
                Findings& findings);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CHECK_STATIC_RULES_H
