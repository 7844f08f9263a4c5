// @NAME@: one method, one setting, one kind of record.
#include "@IDENT@.pb.h"

#include <memory>
#include <mutex>
#include <string>

#include "imctl/sdk.h"
#include "imctl/storage/v1/records.pb.h"

namespace {

namespace v1 = @IDENT@::v1;
namespace storage = imctl::storage::v1;
using imctl::Context;
using imctl::Result;
using imctl::Settings;
using imctl::Status;
using imctl::Task;

class @TYPE@ : public imctl::Module {
 public:
  explicit @TYPE@(const imctl::Host& host)
      : Module(host),
        get_(host, "/imctl.storage.v1.Records/Get"),
        put_(host, "/imctl.storage.v1.Records/Put") {
    serve("/@IDENT@.v1.@TYPE@/Greet", &@TYPE@::greet);
  }

  // Before it starts, and for settings that are `live` at any time later.
  Status prepare(const Settings& settings) override { return apply(settings); }
  Status apply(const Settings& settings) override {
    std::lock_guard lock(mutex_);
    greeting_ = settings.as<v1::Config>().greeting();
    return {};
  }

 private:
  Task<Result<v1::GreetReply>> greet(const v1::GreetRequest& request, const Context& context) {
    if (request.who().empty()) {
      co_return Status(IMCTL_INVALID_ARGUMENT, "whom? Name somebody in `who`");
    }
    // Somebody else may greet the same at the same time: whoever writes second reads again.
    for (;;) {
      storage::GetRecordRequest get;
      get.set_collection("greeted");
      get.set_key(request.who());
      Result<storage::Record> record = co_await get_(get);
      if (!record.ok() && record.status().code() != IMCTL_NOT_FOUND) co_return record.status();

      v1::Greeted greeted;
      if (record.ok() && !greeted.ParseFromString(record->value())) {
        co_return Status(IMCTL_DATA_LOSS, "the record of " + request.who() + " is damaged");
      }
      greeted.set_times(greeted.times() + 1);

      if (!context.dry_run()) {
        storage::PutRecordRequest put;
        put.set_collection("greeted");
        put.set_key(request.who());
        put.set_value(greeted.SerializeAsString());
        if (record.ok()) {
          put.set_revision(record->revision());
        } else {
          put.set_create(true);
        }
        Result<storage::PutRecordResponse> written = co_await put_(put);
        if (is_conflict(written.status()) && !context.cancelled()) continue;
        if (!written.ok()) co_return written.status();
      }
      v1::GreetReply reply;
      reply.set_text(greeting() + ", " + request.who() + "!");
      reply.set_times(greeted.times());
      co_return reply;
    }
  }

  static bool is_conflict(const Status& status) {
    return status.code() == IMCTL_ALREADY_EXISTS || status.code() == IMCTL_FAILED_PRECONDITION;
  }
  std::string greeting() {
    std::lock_guard lock(mutex_);
    return greeting_;
  }

  const imctl::Method<storage::GetRecordRequest, storage::Record> get_;
  const imctl::Method<storage::PutRecordRequest, storage::PutRecordResponse> put_;
  std::mutex mutex_;
  std::string greeting_;
};

}  // namespace

IMCTL_MODULE(@TYPE@)
