// What a module's descriptors promise: do its options name what is there?
#ifndef IMCTL_HOST_CHECK_DESCRIPTOR_LINT_H
#define IMCTL_HOST_CHECK_DESCRIPTOR_LINT_H

#include <string>
#include <vector>

#include "check/findings.h"
#include "core/descriptors.h"
#include "imctl/manifest.pb.h"

namespace imctl::host {

// Rules 6 and 8.
void lint_descriptors(const Manifest& manifest, const Descriptors& descriptors, Findings& findings);

// Rule 7. `taken`: verbs that are somebody else's, and whose.
void lint_verbs(const Manifest& manifest, const Descriptors& descriptors,
                const std::vector<std::pair<std::string, std::string>>& taken, Findings& findings);

}  // namespace imctl::host

#endif  // IMCTL_HOST_CHECK_DESCRIPTOR_LINT_H
