#include "link/supervisor.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "imctl/retry.h"
#include "road/instance.h"
#include "road/road.h"

namespace imctl::host {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstDelay{100};  // of the second restart; then twice as long each time
constexpr milliseconds kLongestDelay{10000};
constexpr seconds kToLeave{2};  // for the process, once the module was destroyed
constexpr int kStepFactor = 12;
constexpr seconds kShortestStep{5};

const char* name_of(Step step) {
  switch (step) {
    case Step::kCreate: return "create";
    case Step::kPrepare: return "prepare";
    case Step::kActivate: return "activate";
    case Step::kQuiesce: return "quiesce";
    case Step::kDeactivate: return "deactivate";
    case Step::kSave: return "save";
    case Step::kRestore: return "restore";
    case Step::kDestroy: return "destroy";
    case Step::kApply: return "apply";
    case Step::kState: return "state";
  }
  return "step";
}

}  // namespace

Result<std::unique_ptr<Supervisor>> Supervisor::make(IsolatedOptions options, Instance* instance) {
  int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) {
    return Status(IMCTL_RESOURCE_EXHAUSTED, std::string("cannot make an event descriptor: ") +
                                                strerror(errno) +
                                                "; raise the limit of open files");
  }
  return std::unique_ptr<Supervisor>(new Supervisor(std::move(options), instance, wake_fd));
}

Supervisor::Supervisor(IsolatedOptions options, Instance* instance, int wake_fd)
    : options_(std::move(options)),
      instance_(instance),
      wake_fd_(wake_fd),
      away_(IMCTL_UNAVAILABLE, subject() + " has not started") {
  thread_ = std::thread([this] { loop(); });
}

Supervisor::~Supervisor() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake();
  thread_.join();
  close(wake_fd_);
}

Child::Reply Supervisor::run(Step step, std::string head, BufferRef tail) {
  Command command{step, std::move(head), std::move(tail), std::nullopt};
  std::unique_lock lock(mutex_);
  command_ = &command;
  wake();
  done_.wait(lock, [&] { return command.reply.has_value(); });
  return std::move(*command.reply);
}

Result<std::shared_ptr<Bridge>> Supervisor::bridge() const {
  std::lock_guard lock(mutex_);
  if (bridge_ == nullptr) return away_;
  return bridge_;
}

void Supervisor::publish(std::shared_ptr<Bridge> bridge, Status away) {
  std::lock_guard lock(mutex_);
  bridge_.swap(bridge);
  away_ = std::move(away);
}

std::string Supervisor::subject() const { return "module " + instance_->name(); }

void Supervisor::log(imctl_log_level level, const std::string& text) {
  instance_->road()->log(level, "host", nullptr, text);
}

void Supervisor::wake() {
  uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof(one));
}

// ---- the thread

void Supervisor::loop() {
  pthread_setname_np(pthread_self(), ("watch-" + instance_->name()).substr(0, 15).c_str());
  for (;;) {
    Command* command = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (stop_) break;
      command = std::exchange(command_, nullptr);
    }
    if (command != nullptr) {
      Child::Reply reply = carry_out(*command);
      std::lock_guard lock(mutex_);
      command->reply = std::move(reply);
      done_.notify_all();
      continue;
    }
    if (restart_at_ && Clock::now() >= *restart_at_) {
      restart();
      continue;
    }
    wait(restart_at_);
  }
  phase_ = Phase::kGone;
  retire_child({IMCTL_UNAVAILABLE, subject() + " is stopped"});
  // Nobody calls any more, but threads may still be returning.
  while (!retired_.empty()) {
    reap();
    if (!retired_.empty()) std::this_thread::sleep_for(milliseconds(1));
  }
}

void Supervisor::reap() {
  std::erase_if(retired_, [](const std::unique_ptr<Child>& child) { return child->idle(); });
}

// Until something happens, or for a tick; looks after the child.
void Supervisor::wait(std::optional<Clock::time_point> until) {
  std::vector<pollfd> polled{{wake_fd_, POLLIN, 0}};
  Clock::duration longest = seconds(60);
  if (child_ != nullptr) {
    child_->add_to(&polled);
    constexpr int kTicks = 8;  // within the time in which it must answer
    longest = std::clamp<Clock::duration>(
        std::chrono::duration_cast<Clock::duration>(options_.limits.answer_within) / kTicks,
        milliseconds(10), milliseconds(500));
  }
  if (!retired_.empty()) longest = std::min<Clock::duration>(longest, milliseconds(500));
  if (until) longest = std::min(longest, std::max(Clock::duration(0), *until - Clock::now()));
  // Rounded up, so that a short rest is not spent in circles.
  auto timeout = std::chrono::ceil<milliseconds>(longest).count();
  poll(polled.data(), polled.size(), static_cast<int>(timeout));
  uint64_t count = 0;
  (void)!read(wake_fd_, &count, sizeof(count));
  reap();
  if (child_ == nullptr) return;
  child_->advance();
  std::optional<std::string> end = child_->ended();
  if (end) note_death(*end);
}

Child::Reply Supervisor::carry_out(Command& command) {
  auto gone = [&] {
    return Child::Reply{
        {IMCTL_UNAVAILABLE, "its process " + (last_end_.empty() ? "is gone" : last_end_)}, {}};
  };
  switch (command.step) {
    case Step::kCreate: {
      Status status = bring_up();
      if (status.ok()) phase_ = Phase::kCreated;
      return {status, {}};
    }
    case Step::kPrepare: {
      settings_ = command.head;
      if (child_ == nullptr) return gone();
      Child::Reply reply = step(Step::kPrepare, settings_, {});
      if (reply.status.ok()) phase_ = Phase::kPrepared;
      return reply;
    }
    case Step::kActivate: {
      Status status;
      if (child_ == nullptr) {
        status = bring_up();
        if (status.ok()) status = step(Step::kPrepare, settings_, {}).status;
      }
      if (status.ok()) status = activate();
      if (status.ok()) phase_ = Phase::kActive;
      return {status, {}};
    }
    case Step::kQuiesce: {
      phase_ = Phase::kStopping;
      restart_at_.reset();
      if (child_ == nullptr) return {};  // there is nothing to be ended
      return step(Step::kQuiesce, {}, {});
    }
    case Step::kDeactivate: {
      phase_ = Phase::kStopped;
      publish(nullptr, {IMCTL_UNAVAILABLE, subject() + " is stopped"});
      if (child_ == nullptr) return {};
      Child::Reply reply = step(Step::kDeactivate, {}, {});
      // With its process all is given back, however it went.
      if (child_ == nullptr) return {};
      return reply;
    }
    case Step::kApply: {
      // One that is away gets them when it comes back.
      Child::Reply reply;
      if (child_ != nullptr) reply = step(Step::kApply, command.head, {});
      if (reply.status.ok()) settings_ = command.head;
      return reply;
    }
    case Step::kState:
    case Step::kSave:
    case Step::kRestore:
      // What it knew went with it: there is nothing to be handed over.
      if (child_ == nullptr && command.step != Step::kRestore) return {};
      if (child_ == nullptr) return gone();
      return step(command.step, {}, std::move(command.tail));
    case Step::kDestroy: {
      phase_ = Phase::kGone;
      restart_at_.reset();
      if (child_ != nullptr) (void)step(Step::kDestroy, {}, {});
      if (child_ != nullptr) child_->let_go(kToLeave);
      while (child_ != nullptr) wait(std::nullopt);
      return {};
    }
  }
  return {};
}

// Asks the child, and looks after it meanwhile.
Child::Reply Supervisor::step(Step step, std::string_view head, BufferRef tail) {
  auto limit = std::max<Clock::duration>(
      std::chrono::duration_cast<Clock::duration>(options_.limits.answer_within) * kStepFactor,
      kShortestStep);
  auto until = Clock::now() + limit;
  child_->ask(step, head, std::move(tail));
  while (child_ != nullptr) {
    if (std::optional<Child::Reply> reply = child_->reply()) return std::move(*reply);
    if (Clock::now() >= until) {
      child_->end(Child::Thread::kMain,
                  "did not come to the end of " + std::string(name_of(step)) + " within " +
                      std::to_string(std::chrono::duration_cast<seconds>(limit).count()) +
                      " s and was ended");
      until = Clock::time_point::max();
    }
    if (until == Clock::time_point::max()) {
      wait(std::nullopt);
    } else {
      wait(until);
    }
  }
  return {{IMCTL_UNAVAILABLE, "its process " + last_end_}, {}};
}

// A new process, up to and with create.
Status Supervisor::bring_up() {
  Hello hello;
  hello.build = link_build();
  hello.host = getpid();
  hello.name = instance_->name();
  hello.file = options_.file;
  hello.log_level = instance_->log_level();
  hello.process = options_.limits;
  hello.limits = instance_->limits();
  hello.methods = instance_->spec().methods;
  auto child = Child::start(options_.runner, std::move(hello), instance_, [this] { wake(); });
  if (!child.ok()) return child.status();
  child_ = std::move(*child);
  pid_ = child_->pid();
  return step(Step::kCreate, {}, {}).status;
}

Status Supervisor::activate() {
  Status status = step(Step::kActivate, {}, {}).status;
  if (status.ok()) publish(child_->bridge(), {});
  return status;
}

void Supervisor::restart() {
  restart_at_.reset();
  Status status = bring_up();
  if (status.ok()) status = step(Step::kPrepare, settings_, {}).status;
  if (status.ok()) status = activate();
  if (status.ok()) {
    auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - died_);
    log(IMCTL_LOG_WARN, subject() + " is back after " + std::to_string(took.count()) +
                            " ms, as process " + std::to_string(pid()));
    instance_->set_health(true, {});
    return;
  }
  // It lives but cannot do its work, or there was no process at all. One that died was noted.
  bool never_was = !restart_at_ && deaths_.size() <= options_.limits.restarts;
  if (child_ != nullptr || never_was) {
    note_death("could not be started again: " + status.message());
  }
}

void Supervisor::note_death(const std::string& how) {
  auto now = Clock::now();
  if (child_ != nullptr) child_->finish_output();  // the stack comes before the word of the death
  last_end_ = how;
  std::string text = subject() + " " + how;
  if (phase_ == Phase::kGone) {  // as it should
    retire_child({IMCTL_UNAVAILABLE, subject() + " is stopped"});
    return;
  }
  if (phase_ != Phase::kActive) {
    if (phase_ == Phase::kStopping || phase_ == Phase::kStopped) {
      log(IMCTL_LOG_ERROR, text + ", while it was being stopped");
    }
    retire_child({IMCTL_UNAVAILABLE, text});
    return;
  }
  died_ = now;
  deaths_.push_back(now);
  while (now - deaths_.front() > seconds(60)) deaths_.pop_front();
  size_t count = deaths_.size();
  if (count > options_.limits.restarts) {
    text += ", " + std::to_string(count) + (count == 1 ? " time" : " times") +
            " within a minute: it stays away (process_restarts); `imctl module reload " +
            instance_->name() + "` starts it";
    log(IMCTL_LOG_ERROR, text);
    restart_at_.reset();
    retire_child({IMCTL_UNAVAILABLE, text});
  } else {
    milliseconds delay{0};
    if (count > 1) delay = kFirstDelay;
    for (size_t i = 2; i < count && delay < kLongestDelay; ++i) delay *= 2;
    delay = std::min(delay, kLongestDelay);
    restart_at_ = now + delay;
    log(IMCTL_LOG_ERROR,
        text + "; it is started again" +
            (delay.count() == 0 ? std::string() : " in " + std::to_string(delay.count()) + " ms"));
    retire_child(retry_later(IMCTL_UNAVAILABLE, text + " and is being started again: try again",
                             std::max(delay, milliseconds(200))));
  }
  instance_->set_health(false, text);
}

// Ends what is left of the process, and its calls.
void Supervisor::retire_child(const Status& for_calls) {
  publish(nullptr, for_calls);
  pid_ = 0;
  if (child_ == nullptr) return;
  child_->retire(for_calls);
  retired_.push_back(std::move(child_));
}

}  // namespace imctl::host
