#include "cli/live_objects.h"

#include <algorithm>
#include <sstream>

#include "cli/verb_call.h"

namespace imctl::host::cli {
namespace {

// Nobody chooses from more.
constexpr int64_t kMostNames = 1000;

// Takes no more once it has enough lines, which ends the call that prints to it.
class FirstLines : public std::stringbuf {
 protected:
  std::streamsize xsputn(const char* text, std::streamsize size) override {
    if (lines_ >= kMostNames) return 0;
    lines_ += std::count(text, text + size, '\n');
    return std::stringbuf::xsputn(text, size);
  }

 private:
  int64_t lines_ = 0;
};

}  // namespace

std::vector<std::string> live_objects(Session& session, const std::string& kind,
                                      const std::string& typed, std::chrono::nanoseconds patience) {
  std::vector<std::string> names;
  const auto& verbs = session.catalog()->verbs();
  auto verb = std::find_if(verbs.begin(), verbs.end(),
                           [&](const VerbEntry& entry) { return entry.verb.lists() == kind; });
  if (verb == verbs.end()) return names;
  Result<const google::protobuf::MethodDescriptor*> method = session.catalog()->method(*verb);
  if (!method.ok() || (*method)->client_streaming()) return names;
  FirstLines first;
  std::ostream out(&first);
  std::ostringstream err;
  Flags flags;
  flags.output = Format::kName;
  flags.timeout = patience;
  VerbCall call(*method, verb->verb, flags, {out, err});
  std::vector<std::string> tokens;
  const auto& places = verb->verb.positional();
  if (!typed.empty() && !places.empty() && places[0] == "prefix") tokens = {"--", typed};
  if (!call.prepare(tokens).ok() ||
      !call.run(session.transport(), session.interrupt()).status.ok()) {
    return names;
  }
  std::istringstream lines(first.str());
  for (std::string line; std::getline(lines, line);) names.push_back(line);
  return names;
}

}  // namespace imctl::host::cli
