#include "check/probe_host.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>


namespace imctl::host {
namespace {

// Installed modules that serve what `manifest` requires, and what those require.
std::vector<std::string> required_modules(const Manifest& manifest) {
  const std::map<std::string, Manifest> providers = installed_providers();
  std::vector<std::string> names;
  std::set<std::string> seen = {manifest.name()};
  std::vector<const Manifest*> open = {&manifest};
  while (!open.empty()) {
    const Manifest* next = open.back();
    open.pop_back();
    for (const Requirement& need : next->needs()) {
      auto provider = providers.find(need.service());
      if (need.optional() || provider == providers.end()) continue;
      const auto& own = manifest.serves();
      if (std::find(own.begin(), own.end(), need.service()) != own.end()) continue;
      if (!seen.insert(provider->second.name()).second) continue;
      names.push_back(provider->second.name());
      open.push_back(&provider->second);
    }
  }
  return names;
}

}  // namespace

void tell(ProbeSink& sink, const std::string& message, Rule otherwise) {
  Findings one;
  fail_as_named(one, message, otherwise);
  Rule rule = rule_in(message).value_or(otherwise);
  for (const std::string& why : one.of(rule).why) sink.fail(rule, why);
}

ProbeHost::ProbeHost(const ProbeModule& module, ProbeSink& sink,
                     const std::vector<std::string>& more)
    : sink_(sink) {
  ModuleHost::Options options;
  Result<ModuleFile> file = read_module_file(module.path);
  if (!file.ok()) {
    status_ = file.status();
    return;
  }
  options.modules = required_modules(file->manifest);
  options.modules.push_back(module.path.find('/') == std::string::npos ? "./" + module.path
                                                                       : module.path);
  options.settings = module.settings;
  for (const std::string& setting : more) {
    options.settings.push_back(
        setting.starts_with("host.") ? setting : file->manifest.name() + "." + setting);
  }
  Result<std::unique_ptr<ModuleHost>> opened = ModuleHost::open(options);
  status_ = opened.status();
  if (!opened.ok()) return;
  open_ = std::move(*opened);
  host().bounds.watch_handlers = true;
  host().bounds.grace = std::chrono::nanoseconds(kSoon).count();
}

void ProbeHost::tell_status(Rule otherwise) { tell(sink_, status_.message(), otherwise); }

std::vector<MethodInfo> ProbeHost::methods() {
  std::vector<MethodInfo> all;
  for (const Served& served : instance().served()) all.push_back(served.info);
  return all;
}

std::string ProbeHost::random_request(const MethodInfo& method, Random& random) {
  auto message =
      instance().description().descriptors->make_message(method.descriptor->input_type());
  fill_at_random(*message, random);
  return message->SerializePartialAsString();
}

bool ProbeHost::parses(const MethodInfo& method, const std::string& request) {
  auto message =
      instance().description().descriptors->make_message(method.descriptor->input_type());
  return message->ParseFromString(request);
}

std::unique_ptr<WaitingCall> ProbeHost::start(const MethodInfo& method, const std::string& request,
                                              std::chrono::milliseconds timeout) {
  CallParams params;
  params.principal_kind = IMCTL_PRINCIPAL_ADMIN;
  params.principal = "check";
  params.peer = "check";
  params.deadline = monotonic_now() + std::chrono::nanoseconds(timeout).count();
  params.watch_deadline = true;
  if (!method.client_streams) return open_->start(method.name, request, std::move(params));
  auto call = open_->start(method.name, std::nullopt, std::move(params));
  (void)call->write(request);
  return call;
}

namespace {

// All of them were ended by the module. False: it took longer.
bool ended_within(const ProbeHost::Calls& calls, std::chrono::milliseconds time) {
  constexpr std::chrono::milliseconds kLook{1};
  auto until = std::chrono::steady_clock::now() + time;
  for (const auto& call : calls) {
    while (!call->callee_ended()) {
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(kLook);
    }
  }
  return true;
}

}  // namespace

void ProbeHost::tell_ends(const std::string& what, const Calls& calls) {
  if (ended_within(calls, kSoon)) return;
  // Late is one thing, never another.
  constexpr std::chrono::seconds kNever{4};
  if (ended_within(calls, kNever)) {
    sink_.fail(Rule::kCancel, what + ": took longer than " + std::to_string(kSoon.count()) +
                                  " s to end after it was cancelled");
    return;
  }
  sink_.fail(Rule::kFinishes, what + ": a call did not end, though it was cancelled");
  tell_breaches();
  sink_.give_up();
}

void ProbeHost::tell_breaches() {
  for (const std::string& line : open_->logged("of module-rules.md)")) {
    tell(sink_, line, Rule::kLifecycle);
    told_breach_ = true;
  }
}

bool ProbeHost::close(Rule otherwise) {
  Status status = open_->close();
  if (!status.ok()) tell(sink_, status.message(), otherwise);
  tell_breaches();
  if (host().modules().is_stuck()) sink_.give_up();
  return status.ok();
}

}  // namespace imctl::host
