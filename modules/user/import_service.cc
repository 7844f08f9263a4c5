#include "import_service.h"

#include <chrono>
#include <utility>

#include "importer.h"

namespace imctl::user {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kBetweenReplies{250};

// The next line of `text` from `*at` on, which moves behind it.
std::string next_line(const std::string& text, size_t* at) {
  const size_t end = std::min(text.find('\n', *at), text.size());
  std::string line = text.substr(*at, end - *at);
  *at = end + 1;
  return line;
}

double rate(uint64_t users, Clock::duration time) {
  const double seconds = std::chrono::duration<double>(time).count();
  return seconds > 0 ? static_cast<double>(users) / seconds : 0;
}

}  // namespace

ImportService::ImportService(Core* core, Module* module) : core_(core) {
  module->serve("/imctl.user.v1.Users/Import", this, &ImportService::import);
}

Task<Status> ImportService::import(Stream& stream) {
  std::optional<Importer> importer;
  const Clock::time_point begun = Clock::now();
  Clock::time_point told = begun;
  uint64_t told_done = 0;
  Status status;
  for (;;) {
    std::optional<v1::ImportUsersRequest> request = co_await stream.read();
    if (!request) break;
    if (!importer) {
      importer.emplace(
          core_, Importer::Plan{request->update(), request->reuse(), stream.context().dry_run(),
                                std::string(stream.context().principal())});
    }
    const std::string& text = request->line();
    for (size_t at = 0; at <= text.size();) {
      std::string line = next_line(text, &at);
      // A message that ends with a line end has no empty line behind it.
      if (at > text.size() && line.empty() && !text.empty()) break;
      status = co_await importer->take(std::move(line));
      if (!status.ok()) co_return status;
    }
    const auto now = Clock::now();
    if (now - told < kBetweenReplies) continue;
    v1::ImportUsersResponse response = importer->progress();
    response.set_rate(rate(importer->done() - told_done, now - told));
    told = now;
    told_done = importer->done();
    if (!co_await stream.write(response)) co_return Status(IMCTL_CANCELLED, "the caller went away");
  }
  if (stream.context().cancelled()) co_return Status(IMCTL_CANCELLED, "the caller went away");
  if (!importer) co_return Status(IMCTL_INVALID_ARGUMENT, "there is no line to import");
  status = co_await importer->finish();
  if (!status.ok()) co_return status;
  v1::ImportUsersResponse outcome = importer->outcome();
  outcome.set_rate(rate(importer->done(), Clock::now() - begun));
  if (!co_await stream.write(outcome)) co_return Status(IMCTL_CANCELLED, "the caller went away");
  if (outcome.refused() == 0) co_return Status();
  co_return Status(IMCTL_INVALID_ARGUMENT, std::to_string(outcome.refused()) + " of " +
                                               std::to_string(outcome.lines()) +
                                               " lines were refused; the others are imported");
}

}  // namespace imctl::user
