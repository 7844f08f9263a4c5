#include "importer.h"

#include <sodium.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "appender.h"
#include "disk.h"
#include "frames.h"
#include "json_reader.h"
#include "seal.h"
#include "tar.h"
#include "upload.h"
#include "xml_reader.h"

namespace imctl::backup {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kBetweenReplies{250};
constexpr int kMostBad = 10'000;
constexpr size_t kUsers = 200;
// So often it is noted how far it is.
constexpr uint64_t kNote = 2000;

class Importer {
 public:
  Importer(Core* core, Stream<v1::ImportDataRequest, v1::ImportDataResponse>* stream,
           const v1::ImportDataRequest& first)
      : core_(core),
        stream_(stream),
        first_(first),
        dry_run_(stream->context().dry_run()),
        appender_(core, [this](Appender::Outcome outcome, const Origin& origin,
                               const std::string& why) { appended(outcome, origin, why); }) {}

  Task<Status> run() {
    Status status = co_await begin();
    if (status.ok()) status = co_await take_all();
    // Whatever happened, what was begun comes to its end.
    Status written = co_await flush();
    if (status.ok()) status = written;
    if (status.ok() && !dry_run_) forget();
    v1::ImportDataResponse outcome = this->outcome();
    if (!co_await stream_->write(outcome)) co_return caller_gone();
    if (!status.ok()) co_return status;
    if (outcome.refused() == 0) co_return Status();
    co_return Status(IMCTL_INVALID_ARGUMENT, std::to_string(outcome.refused()) +
                                                 " records were refused; the others are taken in");
  }

 private:
  Task<Status> begin() {
    Result<std::shared_ptr<Source>> source = co_await take_upload(core_, *stream_, first_.upload());
    if (!source.ok()) co_return source.status();
    if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
    Result<std::string> hash = hash_all(**source);
    if (!hash.ok()) co_return hash.status();
    note_ = core_->options()->data_dir + "/imports/" + to_hex(*hash);
    if (!dry_run_ && !first_.restart()) {
      Result<std::string> noted = read_small(note_);
      if (noted.ok()) skip_ = std::strtoull(noted->c_str(), nullptr, 10);
    }
    std::vector<ImportFile> files;
    if (is_tar(**source)) {
      Result<std::unique_ptr<Scratch>> scratch = Scratch::create(core_->options()->data_dir);
      if (!scratch.ok()) co_return scratch.status();
      scratch_ = std::move(*scratch);
      Result<std::vector<ImportFile>> members = read_tar(**source, scratch_.get());
      if (!members.ok()) co_return members.status();
      files = std::move(*members);
    } else {
      files.push_back({"the file", *source});
    }
    co_return open(std::move(files));
  }

  Status open(std::vector<ImportFile> files) {
    if (files.empty()) return {IMCTL_INVALID_ARGUMENT, "there is no file in the tar"};
    const bool json = first_.format() == v1::FORMAT_JSONL ||
                      (first_.format() == v1::FORMAT_UNSPECIFIED && first_byte(files) == '{');
    if (!json) {
      reader_ = xep0227_reader(std::move(files));
      return {};
    }
    if (files.size() > 1) {
      return {IMCTL_INVALID_ARGUMENT,
              "a tar of several files of JSON lines: import them one by one"};
    }
    reader_ = json_reader(std::move(files.front()), [this](const std::string& line) {
      return core_->host.from_json("imctl.backup.v1.ExchangeLine", line);
    });
    return {};
  }

  static char first_byte(const std::vector<ImportFile>& files) {
    const Source& source = *files.front().source;
    char byte = ' ';
    for (uint64_t at = 0; at < source.size() && (byte == ' ' || byte == '\n' || byte == '\r');
         ++at) {
      if (!source.read(at, &byte, 1).ok()) break;
    }
    return byte;
  }

  static Result<std::string> hash_all(const Source& source) {
    constexpr size_t kRead = size_t{1} << 20U;
    crypto_generichash_state state;
    crypto_generichash_init(&state, nullptr, 0, kHashSize);
    std::string piece;
    for (uint64_t at = 0; at < source.size(); at += piece.size()) {
      piece.resize(static_cast<size_t>(std::min<uint64_t>(kRead, source.size() - at)));
      Status status = source.read(at, piece.data(), piece.size());
      if (!status.ok()) return status;
      crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(piece.data()),
                                piece.size());
    }
    std::string hash(kHashSize, '\0');
    crypto_generichash_final(&state, reinterpret_cast<unsigned char*>(hash.data()), hash.size());
    return hash;
  }

  Task<Status> take_all() {
    for (uint64_t number = 1;; ++number) {
      if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
      ExchangeRecord record;
      Result<bool> more = reader_->next(&record);
      if (!more.ok()) co_return more.status();
      if (!*more) co_return Status();
      if (stream_->context().cancelled()) co_return caller_gone();
      read_ = number;
      if (number <= skip_) {
        add([&](v1::ImportDataResponse& counts) { counts.set_resumed(number); });
        continue;
      }
      Status status = co_await take(std::move(record));
      if (status.ok() && first_.stop_on_error()) status = first_bad();
      if (status.ok() && number % kNote == 0) status = co_await note();
      if (status.ok()) status = co_await tell();
      if (!status.ok()) co_return status;
    }
  }

  Task<Status> take(ExchangeRecord record) {
    if (!record.bad.empty()) {
      refuse(record.origin, record.bad);
      co_return Status();
    }
    Status status;
    switch (record.line.line_case()) {
      case v1::ExchangeLine::kUser:
        origins_.push_back(record.origin);
        users_.push_back(std::move(*record.line.mutable_user()));
        if (users_.size() >= kUsers) status = co_await write_users();
        break;
      case v1::ExchangeLine::kMessage: status = co_await take_message(std::move(record)); break;
      case v1::ExchangeLine::kCursor: status = co_await take_cursor(record.line.cursor()); break;
      default: break;
    }
    co_return status;
  }

  Task<Status> take_message(ExchangeRecord record) {
    v1::ExchangeMessage& from = *record.line.mutable_message();
    if (from.mailboxes().empty()) {
      refuse(record.origin, "a message that is in no mailbox");
      co_return Status();
    }
    storage::v1::AppendRequest request;
    *request.mutable_message() = std::move(*from.mutable_message());
    *request.mutable_recipients() = std::move(*from.mutable_mailboxes());
    if (from.has_time()) *request.mutable_time() = from.time();
    if (dry_run_) {
      add([](v1::ImportDataResponse& counts) { counts.set_messages(counts.messages() + 1); });
      co_return Status();
    }
    Status status = co_await appender_.add(record.origin, std::move(request));
    co_return status;
  }

  Task<Status> take_cursor(const v1::ExchangeCursor& cursor) {
    if (dry_run_) co_return Status();
    Status status = co_await appender_.drain();
    if (!status.ok()) co_return status;
    storage::v1::ReadRequest look;
    look.set_mailbox(cursor.mailbox());
    look.set_limit(1);
    const CallOptions plain;
    Result<storage::v1::ReadResponse> box = co_await core_->read_mailbox(look, plain);
    if (!box.ok()) co_return box.status();
    // Of a mailbox that was empty there, nothing came.
    if (box->epoch() == 0 || box->last() < cursor.left()) co_return Status();
    storage::v1::AckRequest request;
    request.set_mailbox(cursor.mailbox());
    request.set_device(cursor.device());
    request.set_sequence(box->last() - cursor.left());
    Result<storage::v1::Cursor> moved = co_await core_->ack(request, plain);
    co_return moved.status();
  }

  Task<Status> write_users() {
    std::vector<user::v1::ImportLine> users = std::exchange(users_, {});
    std::vector<Origin> origins = std::exchange(origins_, {});
    if (users.empty()) co_return Status();
    CallOptions options;
    options.dry_run = dry_run_;
    ClientStream<user::v1::ImportUsersRequest, user::v1::ImportUsersResponse> call(
        core_->import_users, options);
    user::v1::ImportUsersResponse done;
    bool first = true;
    for (const user::v1::ImportLine& user : users) {
      Result<std::string> json =
          core_->host.to_json("imctl.user.v1.ImportLine", user.SerializeAsString());
      if (!json.ok()) co_return json.status();
      user::v1::ImportUsersRequest request;
      request.set_line(*json + "\n");
      request.set_update(first && first_.update());
      first = false;
      if (!co_await call.write(request)) break;
    }
    call.writes_done();
    while (std::optional<user::v1::ImportUsersResponse> reply = co_await call.read()) {
      if (reply->done()) done = std::move(*reply);
    }
    Result<Buffer> end = co_await call.finish();
    // Refused lines are an error of the call, but not of this one.
    if (!end.ok() && !done.done()) co_return end.status();
    add([&](v1::ImportDataResponse& counts) {
      counts.set_created(counts.created() + done.created());
      counts.set_updated(counts.updated() + done.updated());
      counts.set_unchanged(counts.unchanged() + done.unchanged());
    });
    for (const user::v1::RefusedLine& bad : done.bad()) {
      const size_t at = static_cast<size_t>(bad.line()) - 1;
      refuse(at < origins.size() ? origins[at] : Origin(), bad.reason());
    }
    co_return Status();
  }

  Task<Status> flush() {
    Status status = co_await write_users();
    Status appended = co_await appender_.drain();
    co_return status.ok() ? appended : status;
  }

  // All that was read so far is taken in: here a later run goes on.
  Task<Status> note() {
    Status status = co_await flush();
    if (!status.ok() || dry_run_) co_return status;
    if (Status on = co_await on_slow_pool(core_->host); !on.ok()) co_return on;
    status = make_folder(core_->options()->data_dir + "/imports");
    if (status.ok()) status = replace_small(note_, std::to_string(read_));
    co_return status;
  }
  void forget() const { (void)remove_file(note_); }

  Task<Status> tell() {
    const Clock::time_point now = Clock::now();
    if (now - told_ < kBetweenReplies) co_return Status();
    told_ = now;
    v1::ImportDataResponse reply;
    {
      std::lock_guard lock(mutex_);
      reply = counts_;
      for (v1::BadRecord& bad : fresh_) *reply.add_bad() = std::move(bad);
      fresh_.clear();
    }
    reply.set_done(read_);
    if (!co_await stream_->write(reply)) co_return caller_gone();
    co_return Status();
  }

  v1::ImportDataResponse outcome() {
    std::lock_guard lock(mutex_);
    v1::ImportDataResponse reply = counts_;
    reply.set_done(read_);
    for (const v1::BadRecord& bad : bad_) *reply.add_bad() = bad;
    return reply;
  }

  Status first_bad() {
    std::lock_guard lock(mutex_);
    if (bad_.empty()) return {};
    return {IMCTL_INVALID_ARGUMENT, bad_.front().file() + ":" +
                                        std::to_string(bad_.front().line()) + ": " +
                                        bad_.front().reason()};
  }

  template <class Change>
  void add(Change change) {
    std::lock_guard lock(mutex_);
    change(counts_);
  }
  void refuse(const Origin& origin, const std::string& why) {
    v1::BadRecord bad;
    bad.set_file(origin.file);
    bad.set_line(origin.line);
    bad.set_reason(why);
    std::lock_guard lock(mutex_);
    counts_.set_refused(counts_.refused() + 1);
    if (bad_.size() >= static_cast<size_t>(kMostBad)) return;
    fresh_.push_back(bad);
    bad_.push_back(std::move(bad));
  }
  void appended(Appender::Outcome outcome, const Origin& origin, const std::string& why) {
    if (outcome == Appender::Outcome::kRefused) return refuse(origin, why);
    add([&](v1::ImportDataResponse& counts) {
      if (outcome == Appender::Outcome::kNew) {
        counts.set_messages(counts.messages() + 1);
      } else {
        counts.set_known_messages(counts.known_messages() + 1);
      }
    });
  }

  Core* const core_;
  Stream<v1::ImportDataRequest, v1::ImportDataResponse>* const stream_;
  const v1::ImportDataRequest& first_;
  const bool dry_run_;
  std::unique_ptr<Scratch> scratch_;
  std::unique_ptr<ExchangeReader> reader_;
  std::string note_;  // the file that says how far it was
  uint64_t skip_ = 0;
  uint64_t read_ = 0;
  std::vector<user::v1::ImportLine> users_;
  std::vector<Origin> origins_;
  Clock::time_point told_;

  std::mutex mutex_;
  v1::ImportDataResponse counts_;     // guarded by mutex_
  std::vector<v1::BadRecord> bad_;    // guarded by mutex_
  std::vector<v1::BadRecord> fresh_;  // guarded by mutex_: since the last reply
  Appender appender_;
};

}  // namespace

Task<Status> import_data(Core* core,
                         Stream<v1::ImportDataRequest, v1::ImportDataResponse>& stream) {
  std::optional<v1::ImportDataRequest> first = co_await stream.read();
  if (!first || first->upload().empty()) {
    co_return Status(IMCTL_INVALID_ARGUMENT, "there is no file to import");
  }
  Importer importer(core, &stream, *first);
  Status status = co_await importer.run();
  co_return status;
}

}  // namespace imctl::backup
