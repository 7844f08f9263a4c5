#include "link/child.h"

#include <signal.h>

#include <algorithm>

#include "road/call.h"
#include "road/client_call.h"
#include "road/instance.h"
#include "road/road.h"

namespace imctl::host {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kForStack{1};          // to print it
constexpr milliseconds kAfterLink{500};  // from the end of the link to that of the process
constexpr size_t kMostMetrics = 4096;

std::string in_seconds(std::chrono::nanoseconds time) {
  auto whole = std::chrono::duration_cast<seconds>(time);
  if (whole == time) return std::to_string(whole.count()) + " s";
  return std::to_string(std::chrono::duration_cast<milliseconds>(time).count()) + " ms";
}

}  // namespace

Child::Child(Hello hello, Instance* instance, std::function<void()> wake)
    : hello_(std::move(hello)),
      instance_(instance),
      wake_(std::move(wake)),
      log_level_(hello_.log_level),
      looked_(Clock::now()) {}

Result<std::unique_ptr<Child>> Child::start(const std::string& runner, Hello hello,
                                            Instance* instance, std::function<void()> wake) {
  std::unique_ptr<Child> child(new Child(std::move(hello), instance, std::move(wake)));
  const std::string& name = child->hello_.name;
  auto process = ChildProcess::start(runner, {runner, name});
  if (!process.ok()) return process.status();
  child->process_ = std::move(*process);
  auto lines = [self = child.get()](const char* which) {
    return [self, which](std::string_view text) {
      self->instance_->road()->log(IMCTL_LOG_WARN, self->hello_.name, nullptr,
                                   which + std::string(text));
    };
  };
  child->out_ =
      std::make_unique<ChildOutput>(child->process_->take(ChildProcess::kOut), lines("stdout: "));
  child->err_ =
      std::make_unique<ChildOutput>(child->process_->take(ChildProcess::kErr), lines("stderr: "));
  child->answerer_ = std::make_unique<Answerer>(
      child->process_->take(ChildProcess::kAsk),
      [instance](Question question, std::string_view type, std::string_view bytes) {
        return question == Question::kToJson ? instance->road()->to_json(*instance, type, bytes)
                                             : instance->road()->from_json(*instance, type, bytes);
      });
  const InstanceLimits& limits = child->hello_.limits;
  Bridge::Options options;
  options.end = Bridge::End::kHost;
  options.name = name;
  options.window = limits.stream_window;
  options.held = limits.streams_memory;
  auto bridge = Bridge::make(child->process_->take(ChildProcess::kLink), options, instance->road(),
                             child.get());
  if (!bridge.ok()) return bridge.status();
  child->bridge_ = std::move(*bridge);
  child->bridge_->send(FrameType::kHello, 0, encode(child->hello_));
  Status status = child->bridge_->start();
  if (!status.ok()) return status;
  return child;
}

// The link's thread uses the rest until it is joined.
Child::~Child() { bridge_.reset(); }

void Child::retire(const Status& for_calls) {
  process_->kill_and_wait();
  finish_output();
  process_.reset();
  answerer_.reset();
  out_.reset();
  err_.reset();
  bridge_->close();
  bridge_->fail_all(for_calls);
}

void Child::finish_output() {
  out_->finish();
  err_->finish();
}

void Child::ask(Step step, std::string_view head, BufferRef tail) {
  {
    std::lock_guard lock(mutex_);
    reply_.reset();
  }
  HeadWriter out;
  out.u8(static_cast<uint8_t>(step));
  std::string bytes = out.take();
  bytes.append(head);
  bridge_->send(FrameType::kControl, ++asked_, bytes, std::move(tail));
}

std::optional<Child::Reply> Child::reply() {
  std::lock_guard lock(mutex_);
  if (!reply_ || reply_->first != asked_) return std::nullopt;
  return std::move(reply_->second);
}

void Child::add_to(std::vector<pollfd>* polled) const {
  polled->push_back({process_->pidfd(), POLLIN, 0});
  if (!out_->over()) polled->push_back({out_->fd(), POLLIN, 0});
  if (!err_->over()) polled->push_back({err_->fd(), POLLIN, 0});
  if (answerer_->events() != 0) polled->push_back({answerer_->fd(), answerer_->events(), 0});
}

void Child::advance() {
  out_->advance();
  err_->advance();
  if (answerer_->events() != 0) answerer_->advance();
  check_signs_of_life(Clock::now());
  if (int32_t level = instance_->log_level(); level != log_level_) {
    log_level_ = level;
    HeadWriter out;
    out.i32(level);
    bridge_->send(FrameType::kLogLevel, 0, out.bytes());
  }
}

void Child::check_signs_of_life(Clock::time_point now) {
  auto limit = std::chrono::duration_cast<Clock::duration>(hello_.process.answer_within);
  // Only time in which we ran ourselves counts: after a pause of the host the child has its time.
  Clock::duration passed = std::min(now - looked_, limit / 4);
  looked_ = now;
  if (kill_at_) {
    if (now >= *kill_at_) process_->signal(SIGKILL);
    return;
  }
  if (std::string violated = violation(); !violated.empty()) {
    why_ = violated;
    kill_at_ = now;
    process_->signal(SIGKILL);
    return;
  }
  if (closed_.load()) {
    kill_at_ = now + kAfterLink;
    return;
  }
  if (!greeted_.load()) return;  // it starts; the step that it was asked for has its own limit
  if (pongs_.load() == pings_) {
    silent_ = {};
    bridge_->send(FrameType::kPing, ++pings_, {});
  } else {
    silent_ += passed;
    if (silent_ >= limit) {
      end(Thread::kLink, "did not answer for " + in_seconds(hello_.process.answer_within) +
                             " and was ended (process_answer)");
      return;
    }
  }
}

void Child::end(Thread thread, const std::string& why) {
  if (kill_at_) return;
  why_ = why;
  kill_at_ = Clock::now() + kForStack;
  pid_t link_thread = link_thread_.load();
  bool link = thread == Thread::kLink && link_thread != 0;
  process_->signal_thread(link ? link_thread : pid(), SIGABRT);
  process_->signal(SIGCONT);
}

void Child::let_go(Clock::duration within) {
  if (!kill_at_) kill_at_ = Clock::now() + within;
  bridge_->close();
}

std::optional<std::string> Child::ended() {
  std::optional<std::string> end = process_->ended();
  if (!end) return end;
  if (!why_.empty()) return why_;
  // It may have ended by itself when its link was closed for what it sent, before it was killed.
  if (std::string violated = violation(); !violated.empty()) return violated;
  return end;
}

std::string Child::violation() {
  std::lock_guard lock(mutex_);
  return violation_.empty() ? "" : "was ended, since " + violation_;
}

// ---- calls; on the link's thread

Result<Bridge::Admitted> Child::admit(uint64_t /*id*/, StartFrame& frame) {
  Road* road = instance_->road();
  MethodSlot* slot = road->methods().find(frame.method);
  // At an address: the first call of it.
  if (slot == nullptr && frame.method.find('@') != std::string::npos) {
    slot = road->methods().slot(frame.method);
  }
  if (slot == nullptr) return road->not_served(frame.method);
  Bridge::Admitted admitted;
  if (frame.parent != 0) {
    // The child says for whom; who that is, the host knows.
    admitted.parent = bridge_->forwarded(frame.parent);
    if (!admitted.parent) {
      return Status(IMCTL_FAILED_PRECONDITION,
                    "a call is made on behalf of one that the module does not serve (any more)");
    }
  }
  int64_t timeout = 0;
  if (frame.deadline != 0) timeout = std::max<int64_t>(1, frame.deadline - monotonic_now());
  admitted.params =
      params_from(instance_, slot, admitted.parent.get(), frame.flags & IMCTL_DRY_RUN, timeout);
  std::shared_ptr<const Route> route = slot->route();
  if (route == nullptr) route = road->route_out(*slot);
  admitted.reads = route == nullptr || route->served->info.server_streams;
  instance_->gate().enter_again();
  return admitted;
}

void Child::over() { instance_->gate().leave(); }

void Child::describe(const Call& call, StartFrame* frame) {
  const CallParams& params = call.params();
  frame->principal_kind = params.principal_kind;
  frame->principal = params.principal;
  frame->caller_module = params.caller_module;
  frame->call_id = params.call_id;
  frame->flags = params.flags;
  frame->depth = params.depth;
  frame->deadline = params.deadline;
  frame->nested = call.descends_from(instance_);
}

Status Child::leaving() { return instance_->leaving(); }

void Child::on_frame(FrameType type, uint64_t id, std::string_view head, BufferRef tail) {
  switch (type) {
    case FrameType::kHello: {
      HeadReader in(head);
      if (in.str() != link_build()) {
        on_violation("its runner is of another build: install imctl completely");
      }
      greeted_ = true;
      return;
    }
    case FrameType::kControlReply: {
      FinishFrame frame;
      if (!decode(head, &frame)) break;
      Status status;
      if (frame.code != IMCTL_OK) status = {static_cast<imctl_code>(frame.code), frame.message};
      {
        std::lock_guard lock(mutex_);
        reply_ = {id, {std::move(status), std::move(tail)}};
      }
      wake_();
      return;
    }
    case FrameType::kPong: {
      HeadReader in(head);
      link_thread_ = in.i32();
      pongs_ = id;
      return;
    }
    case FrameType::kLog: {
      LogFrame frame;
      if (!decode(head, &frame)) break;
      auto level = static_cast<imctl_log_level>(
          std::clamp<int32_t>(frame.level, IMCTL_LOG_TRACE, IMCTL_LOG_ERROR));
      if (instance_->log_enabled(level)) {
        CallRef call = id == 0 ? CallRef() : bridge_->forwarded(id);
        instance_->road()->write_log(level, instance_->name(), call.get(), frame.text);
      }
      return;
    }
    case FrameType::kMetric: {
      MetricFrame frame;
      if (!decode(head, &frame)) break;
      on_metric(frame);
      return;
    }
    case FrameType::kHealth: {
      HealthFrame frame;
      if (!decode(head, &frame)) break;
      instance_->set_health(frame.serving, frame.reason);
      return;
    }
    default: break;
  }
  on_violation("it sent what it may not");
}

void Child::on_metric(const MetricFrame& frame) {
  auto kind = static_cast<imctl_metric_kind>(frame.kind);
  if (kind != IMCTL_COUNTER && kind != IMCTL_GAUGE && kind != IMCTL_HISTOGRAM) return;
  auto [at, made] = metrics_.try_emplace({frame.name, frame.labels}, nullptr);
  if (made) {
    if (metrics_.size() > kMostMetrics) {
      metrics_.erase(at);
      return;
    }
    at->second = instance_->road()->metrics().get(kind, frame.name, frame.labels, frame.help);
  }
  Metric* metric = at->second;
  if (metric == nullptr || metric->kind() != kind) return;
  if (kind == IMCTL_COUNTER) {
    metric->add(frame.value);
  } else if (kind == IMCTL_GAUGE) {
    metric->set(frame.value);
  } else {
    std::array<uint64_t, Metric::kBounds.size()> buckets{};
    std::copy_n(frame.buckets.begin(), std::min(frame.buckets.size(), buckets.size()),
                buckets.begin());
    metric->add_observed(frame.value, frame.count, buckets);
  }
}

void Child::on_violation(const std::string& what) {
  {
    std::lock_guard lock(mutex_);
    if (violation_.empty()) violation_ = what;
  }
  bridge_->close();
  wake_();
}

void Child::on_closed(const Status& why) {
  if (why.code() == IMCTL_DATA_LOSS || why.code() == IMCTL_RESOURCE_EXHAUSTED) {
    std::lock_guard lock(mutex_);
    if (violation_.empty()) violation_ = why.message();
  }
  closed_ = true;
  wake_();
}

}  // namespace imctl::host
