#include "check/probes.h"

#include <array>
#include <string_view>

#include "check/probe_host.h"

namespace imctl::host {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kCallTime{500};

// ---- starting, stopping, starting again

void probe_life(const ProbeModule& module, ProbeSink& sink) {
  constexpr int kTimes = 10;
  for (int time = 1; time <= kTimes; ++time) {
    sink.at("start number " + std::to_string(time));
    ProbeHost host(module, sink);
    if (!host.is_open()) {
      host.tell_status(Rule::kLifecycle);
      return;
    }
    if (time == 1) {
      sink.pass(Rule::kSizes);
      sink.pass(Rule::kSlots);
    }
    sink.at("stop number " + std::to_string(time));
    if (!host.close(Rule::kLifecycle)) return;
    // What it does wrong each time need not be seen ten times.
    if (host.told_breach()) return;
  }
  sink.pass(Rule::kLifecycle);
  sink.pass(Rule::kUnmapped);
}

void probe_swap(const ProbeModule& module, ProbeSink& sink) {
  constexpr int kTimes = 3;
  ProbeHost host(module, sink);
  for (int time = 1; time <= kTimes; ++time) {
    sink.at("replacement number " + std::to_string(time) + " by a copy of itself");
    Status status = host.module_host().reload(host.module_host().under_test().front());
    if (!status.ok()) tell(sink, status.message(), Rule::kSwap);
  }
  (void)host.close(Rule::kLifecycle);
  sink.pass(Rule::kSwap);
}

// ---- settings

void probe_settings(const ProbeModule& module, ProbeSink& sink) {
  ProbeHost host(module, sink);
  std::shared_ptr<const Description> running = host.instance().settings();
  if (running->manifest().config().empty()) {
    sink.not_applicable(Rule::kSettings, "it has no settings");
    (void)host.close(Rule::kLifecycle);
    return;
  }
  auto prepare = [&](const std::string& config) {
    auto other = std::make_shared<Description>(*running);
    other->config = config;
    return host.host().modules().probe(other);
  };
  // A field that a later version may have: number 50,000, a string.
  const std::string unknown = running->config + std::string("\x82\xb5\x18\x03new", 7);
  sink.at("prepare beside the copy that runs");
  if (Status status = prepare(running->config); !status.ok()) {
    tell(sink, "prepare beside a copy that runs: " + status.message(), Rule::kSwap);
    (void)host.close(Rule::kLifecycle);
    return;
  }
  sink.at("prepare with a setting of a later version");
  if (Status status = prepare(unknown); !status.ok()) {
    tell(sink, "a setting of a later version has it refuse all of them: " + status.message(),
         Rule::kSettings);
  }
  // What it makes of these is its own affair, as long as it says so.
  sink.at("prepare without settings");
  (void)prepare("");
  sink.at("prepare with settings that are cut off");
  for (size_t size = 1; size < running->config.size() && size < 100; ++size) {
    (void)prepare(running->config.substr(0, size));
  }
  sink.at("prepare with settings that are no message");
  (void)prepare(std::string(100, '\xff'));
  (void)host.close(Rule::kLifecycle);
  sink.pass(Rule::kSettings);
}

// ---- calls

// Reads and writes a little, as far as the method streams, and waits for the end.
Status converse(const MethodInfo& method, WaitingCall& call, const std::string& request) {
  constexpr int kMessages = 5;
  for (int i = 0; method.client_streams && i < kMessages; ++i) {
    if (call.write_within(request, milliseconds(20)) != true) break;
  }
  if (method.client_streams) call.writes_done();
  for (int i = 0; method.server_streams && i < kMessages; ++i) {
    if (!call.read()) break;
  }
  if (method.server_streams) call.cancel();
  std::string reply;
  return call.end(&reply);
}

bool no_methods(ProbeHost& host, ProbeSink& sink, const std::vector<Rule>& rules) {
  if (!host.methods().empty()) return false;
  for (Rule rule : rules) sink.not_applicable(rule, "it serves no methods");
  (void)host.close(Rule::kLifecycle);
  return true;
}

// Good, random, cut off and senseless requests.
std::vector<std::string> odd_requests(ProbeHost& host, const MethodInfo& method, Random& random) {
  constexpr int kOfEach = 12;
  std::vector<std::string> requests = {"", std::string(1, '\xff'), std::string(1000, '\xff'),
                                       std::string("\x0a\xff\xff\xff\xff\x07", 6)};
  for (int i = 0; i < kOfEach; ++i) {
    requests.push_back(host.random_request(method, random));
    const std::string& good = requests.back();
    requests.push_back(good.substr(0, good.empty() ? 0 : random() % good.size()));
    requests.push_back(random_bytes(random, 200));
  }
  return requests;
}

const std::vector<Rule> kRequestRules = {Rule::kRequests,   Rule::kExceptions,
                                         Rule::kFinishOnce, Rule::kUseAfterFinish,
                                         Rule::kFinishes,   Rule::kThreads};

void probe_requests(const ProbeModule& module, ProbeSink& sink) {
  ProbeHost host(module, sink);
  if (no_methods(host, sink, kRequestRules)) return;
  Random random(1);  // NOLINT: the same each time, so that what is found is found again
  for (const MethodInfo& method : host.methods()) {
    int waits = 0;
    const auto until = std::chrono::steady_clock::now() + ProbeHost::kSoon;
    for (const std::string& request : odd_requests(host, method, random)) {
      constexpr int kPatience = 3;  // with a method that waits for something to happen
      if (waits >= kPatience || std::chrono::steady_clock::now() > until) break;
      sink.at(method.name + " with a request of " + std::to_string(request.size()) + " bytes");
      ProbeHost::Calls call;
      call.push_back(host.start(method, request, kCallTime));
      Status status = converse(method, *call.front(), request);
      host.tell_ends(method.name, call);
      if (status.code() == IMCTL_DEADLINE_EXCEEDED) ++waits;
      if (status.ok() && !host.parses(method, request)) {
        sink.fail(Rule::kRequests, method.name + " takes bytes that are no " +
                                       method.descriptor->input_type()->full_name() +
                                       ": INVALID_ARGUMENT is what they are");
      }
    }
  }
  (void)host.close(Rule::kLifecycle);
  for (Rule rule : kRequestRules) sink.pass(rule);
}

void probe_cancel(const ProbeModule& module, ProbeSink& sink) {
  constexpr int kTimes = 5;
  ProbeHost host(module, sink);
  if (no_methods(host, sink, {Rule::kCancel})) return;
  for (const MethodInfo& method : host.methods()) {
    sink.at("cancel in mid-call of " + method.name);
    ProbeHost::Calls calls;
    for (int i = 0; i < kTimes; ++i) {
      calls.push_back(host.start(method, host.empty_request(), std::chrono::minutes(1)));
    }
    for (const auto& call : calls) call->cancel();
    std::string reply;
    for (const auto& call : calls) (void)call->end(&reply);
    host.tell_ends(method.name, calls);
  }
  (void)host.close(Rule::kLifecycle);
  sink.pass(Rule::kCancel);
}

// ---- streams

// Of some, the longest that is not much of a window: what is empty uses no credit.
std::string long_request(ProbeHost& host, const MethodInfo& method, Random& random) {
  constexpr int kTries = 30;
  constexpr size_t kMost = 600;
  std::string best;
  for (int i = 0; i < kTries; ++i) {
    std::string next = host.random_request(method, random);
    if (next.size() > best.size() && next.size() <= kMost) best = std::move(next);
  }
  return best;
}

void probe_credit(const ProbeModule& module, ProbeSink& sink) {
  ProbeHost host(module, sink, {"stream_window=1KiB"});
  bool streams = false;
  Random random(1);  // NOLINT: the same each time, so that what is found is found again
  for (const MethodInfo& method : host.methods()) {
    if (!method.client_streams && !method.server_streams) continue;
    streams = true;
    sink.at("a stream of " + method.name + " that is not read");
    const std::string request = long_request(host, method, random);
    ProbeHost::Calls calls;
    calls.push_back(host.start(method, method.client_streams ? request : host.empty_request(),
                               std::chrono::minutes(1)));
    const std::unique_ptr<WaitingCall>& call = calls.front();
    // Until it takes no more.
    constexpr int kMost = 300;
    for (int i = 0; method.client_streams && i < kMost; ++i) {
      if (call->write_within(request, milliseconds(50)) != true) break;
    }
    (void)call->ends_within(milliseconds(300));
    sink.at("a stream of " + method.name + " that is read after all");
    if (method.server_streams) {
      // One that has nothing to say is not waited for.
      for (int i = 0; i < kMost && call->has_message(); ++i) {
        if (!call->read()) break;
      }
    }
    call->cancel();
    std::string reply;
    (void)call->end(&reply);
    host.tell_ends(method.name, calls);
  }
  (void)host.close(Rule::kLifecycle);
  if (streams) {
    sink.pass(Rule::kCredit);
  } else {
    sink.not_applicable(Rule::kCredit, "none of its methods streams");
  }
}

// ---- stopping with calls open

void probe_stop(const ProbeModule& module, ProbeSink& sink) {
  ProbeHost host(module, sink, {"host.stop_timeout=1s"});
  ProbeHost::Calls calls;
  sink.at("a call of each method");
  for (const MethodInfo& method : host.methods()) {
    calls.push_back(host.start(method, host.empty_request(), std::chrono::minutes(1)));
  }
  sink.at("stop with calls open");
  (void)host.close(Rule::kStop);
  sink.pass(Rule::kStop);
}

}  // namespace

const std::vector<Probe>& probes() {
  static const std::vector<Probe> kProbes = {
      {"life",
       Rule::kLifecycle,
       {Rule::kSizes, Rule::kSlots, Rule::kLifecycle, Rule::kUnmapped},
       probe_life},
      {"settings", Rule::kSettings, {Rule::kSettings}, probe_settings},
      {"requests", Rule::kRequests, kRequestRules, probe_requests},
      {"cancel", Rule::kCancel, {Rule::kCancel}, probe_cancel},
      {"credit", Rule::kCredit, {Rule::kCredit}, probe_credit},
      {"stop", Rule::kStop, {Rule::kStop}, probe_stop},
      {"swap", Rule::kSwap, {Rule::kSwap}, probe_swap},
  };
  return kProbes;
}

}  // namespace imctl::host
