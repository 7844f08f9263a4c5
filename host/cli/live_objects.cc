#include "cli/live_objects.h"

#include <algorithm>
#include <sstream>

#include "cli/verb_call.h"

namespace imctl::host::cli {

std::vector<std::string> live_objects(Session& session, const std::string& kind,
                                      std::chrono::nanoseconds patience) {
  std::vector<std::string> names;
  const auto& verbs = session.catalog()->verbs();
  auto verb = std::find_if(verbs.begin(), verbs.end(),
                           [&](const VerbEntry& entry) { return entry.verb.lists() == kind; });
  if (verb == verbs.end()) return names;
  Result<const google::protobuf::MethodDescriptor*> method = session.catalog()->method(*verb);
  if (!method.ok() || (*method)->client_streaming() || (*method)->server_streaming()) return names;
  std::ostringstream out;
  std::ostringstream err;
  Flags flags;
  flags.output = Format::kName;
  flags.timeout = patience;
  VerbCall call(*method, verb->verb, flags, {out, err});
  if (!call.prepare({}).ok() || !call.run(session.transport(), session.interrupt()).status.ok()) {
    return names;
  }
  std::istringstream lines(out.str());
  for (std::string line; std::getline(lines, line);) names.push_back(line);
  return names;
}

}  // namespace imctl::host::cli
