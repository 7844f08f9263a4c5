#include "storage_module.h"

#include <algorithm>

namespace imctl::storage {
namespace {

// How often there may be something to do that nobody asked for.
constexpr std::chrono::milliseconds kTick{100};

// What surrounds the entries of an answer.
constexpr size_t kAnswerOverhead = 64;

constexpr size_t kWatchPage = size_t{64} << 10U;

}  // namespace

StorageModule::StorageModule(const Host& host)
    : Module(host),
      metrics_(host),
      put_total_(host.counter("imctl_storage_messages_put_total", "Messages acknowledged")),
      cleaned_total_(host.counter("imctl_storage_messages_cleaned_total",
                                  "Messages removed because their retention period was over")) {
  register_messages();
  register_mailboxes();
  register_records();
  register_snapshots();
}

StorageModule::~StorageModule() = default;

void StorageModule::change(const CommonSettings& settings) {
  settings_.clean_interval = settings.clean_interval;
  settings_.dump_idle = settings.dump_idle;
  settings_.max_batch = settings.max_batch;
  settings_.max_message = settings.max_message;
  settings_.max_reply = settings.max_reply;
  settings_.max_recipients = settings.max_recipients;
  // From now on, not from the last time.
  clean_again_ = true;
}

Status StorageModule::activate() {
  Result<std::unique_ptr<Engine>> engine = open(&watchers_);
  if (!engine.ok()) return engine.status();
  engine_ = std::move(*engine);
  next_clean_ = std::chrono::steady_clock::now() + settings_.clean_interval.get();
  writer_ =
      std::make_unique<Writer>(engine_.get(), &watchers_, settings_.queue_bytes, metrics_,
                               std::min(kTick, settings_.clean_interval.get()), [this] { tick(); });
  return {};
}

Status StorageModule::deactivate() {
  writer_.reset();
  engine_.reset();
  return {};
}

Status StorageModule::ready() const {
  if (!engine_->loading()) return {};
  return {IMCTL_FAILED_PRECONDITION,
          "a snapshot is being loaded, or a load did not come to its end: load it again"};
}

Status StorageModule::check_count(size_t count, const char* what) const {
  if (count <= settings_.max_batch) return {};
  return {IMCTL_INVALID_ARGUMENT,
          std::to_string(count) + " " + what + " are more than max_batch, " +
              std::to_string(settings_.max_batch) + ": send fewer at a time"};
}

size_t StorageModule::limit(uint32_t asked) const {
  const size_t most = settings_.max_batch;
  return asked == 0 ? most : std::min<size_t>(asked, most);
}

size_t StorageModule::page_bytes() const { return settings_.max_reply - kAnswerOverhead; }

size_t StorageModule::watch_bytes() const { return std::min(page_bytes(), kWatchPage); }

void StorageModule::report(State& state) {
  const Writer::Load load = writer_->load();
  state.add("writes_waiting", load.waiting);
  state.add("write_queue_bytes", load.bytes);
  state.add("write_queue_limit", settings_.queue_bytes);
  state.add("watchers", watchers_.count());
  {
    std::lock_guard lock(dumps_mutex_);
    state.add("open_dumps", dumps_.size());
  }
  if (engine_->loading()) state.add("loading", "a snapshot is being loaded, or a load did not end");
  if (engine_->replacing())
    state.add("replacing", "what is stored is being replaced by a snapshot");
  engine_->report([&](std::string_view name, const std::string& value) { state.add(name, value); });
}

// On the writer's thread.
void StorageModule::tick() {
  end_idle_dumps();
  auto now = std::chrono::steady_clock::now();
  if (clean_again_.exchange(false)) next_clean_ = now + settings_.clean_interval.get();
  if (now < next_clean_) return;
  next_clean_ = now + settings_.clean_interval.get();
  clean_what_expired();
}

}  // namespace imctl::storage
