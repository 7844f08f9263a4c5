// The module storage-sqlite: awakari.messages.Service and .cleaner.Service on an SQLite database.
// What the methods mean stands beside them in api/proto; how it is done, in writer.h, store.h,
// readers.h.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/grpc/cleaner/service.pb.h"
#include "api/grpc/service.pb.h"
#include "config.h"
#include "imctl/sdk.h"
#include "jobs.h"
#include "message.h"
#include "readers.h"
#include "store.h"
#include "writer.h"

namespace imctl::storage {
namespace {

using awakari::messages::DeleteBatchRequest;
using awakari::messages::DeleteBatchResponse;
using awakari::messages::GetBatchRequest;
using awakari::messages::PutBatchRequest;
using awakari::messages::PutBatchResponse;
using awakari::messages::cleaner::CleanRequest;
using awakari::messages::cleaner::CleanResponse;

class SqliteStorage : public Module {
 public:
  explicit SqliteStorage(const Host& host)
      : Module(host),
        put_total_(host.counter("imctl_storage_messages_put_total", "Messages acknowledged")),
        cleaned_total_(host.counter("imctl_storage_messages_cleaned_total",
                                    "Messages removed because their retention period was over")) {
    metrics_.jobs = host.counter("imctl_storage_writes_total", "Requests that were written");
    metrics_.commits = host.counter("imctl_storage_commits_total",
                                    "Transactions, each with one sync, that the writes took");
    metrics_.commit_seconds =
        host.histogram("imctl_storage_commit_seconds", "Time of a transaction");
    metrics_.queue_bytes = host.gauge("imctl_storage_queue_bytes", "Bytes that wait to be written");
    serve("/awakari.messages.Service/PutBatch", &SqliteStorage::put);
    serve("/awakari.messages.Service/GetBatch", &SqliteStorage::get);
    serve("/awakari.messages.Service/DeleteBatch", &SqliteStorage::remove);
    serve("/awakari.messages.cleaner.Service/Clean", &SqliteStorage::clean);
  }

  Status prepare(const Settings& settings) override {
    auto config = settings.as<sqlite::v1::Config>();
    Result<Options> options = read_config(config, settings.data_dir());
    if (!options.ok()) return options.status();
    options_ = *options;
    if (!config.username().empty() || !config.password().empty()) {
      host().info(
          "username and password are not used: SQLite has no accounts; the rights on the "
          "file decide");
    }
    return {};
  }

  Status activate() override {
    Result<std::unique_ptr<Store>> store = Store::open(options_);
    if (!store.ok()) return store.status();
    readers_ = std::make_unique<Readers>(options_);
    writer_ =
        std::make_unique<Writer>(std::move(*store), options_, metrics_, &scheduled_clean, this);
    host().info("messages are in " + options_.path);
    return {};
  }

  Status deactivate() override {
    // The writer's connection is the last to close: it moves the log into the database file.
    readers_.reset();
    writer_.reset();
    return {};
  }

 private:
  Status check_count(int count, const char* what) const {
    if (static_cast<size_t>(count) <= options_.max_batch) return {};
    return {IMCTL_INVALID_ARGUMENT,
            std::to_string(count) + " " + what + " are more than max_batch, " +
                std::to_string(options_.max_batch) + ": send fewer at a time"};
  }

  void put(const PutBatchRequest& request, const Context&, Responder<PutBatchResponse> responder) {
    Status invalid = check_count(request.msgs_size(), "messages");
    std::vector<Row> rows;
    if (invalid.ok()) {
      rows.reserve(static_cast<size_t>(request.msgs_size()));
      for (const pb::CloudEvent& message : request.msgs()) {
        invalid = validate(message, rows.size(), options_.max_message);
        if (!invalid.ok()) break;
        rows.push_back({message.id(), canonical(message)});
      }
    }
    if (rows.empty()) {
      if (!invalid.ok()) return responder.finish(invalid);
      return responder.finish(PutBatchResponse());
    }
    writer_->submit(make_job<PutJob>(
        std::move(rows),
        [this, responder = std::move(responder)](const Status& status, uint64_t stored) mutable {
          if (!status.ok()) return responder.finish(status);
          put_total_.add(static_cast<double>(stored));
          PutBatchResponse response;
          response.set_ackcount(static_cast<uint32_t>(stored));
          responder.finish(response);
        }));
  }

  Result<Buffer> get(const GetBatchRequest& request, const Context&) {
    if (Status status = check_count(request.ids_size(), "ids"); !status.ok()) return status;
    if (request.ids().empty()) return host().buffer(0);
    Result<std::string> reply = readers_->get(request.ids());
    if (!reply.ok()) return reply.status();
    return host().wrap(std::move(*reply));
  }

  void remove(const DeleteBatchRequest& request, const Context&,
              Responder<DeleteBatchResponse> responder) {
    if (Status status = check_count(request.ids_size(), "ids"); !status.ok()) {
      return responder.finish(status);
    }
    if (request.ids().empty()) return responder.finish(DeleteBatchResponse());
    std::vector<std::string> ids(request.ids().begin(), request.ids().end());
    writer_->submit(make_job<RemoveJob>(
        std::move(ids),
        [responder = std::move(responder)](const Status& status, uint64_t removed) mutable {
          if (!status.ok()) return responder.finish(status);
          DeleteBatchResponse response;
          response.set_ackcount(static_cast<uint32_t>(removed));
          responder.finish(response);
        }));
  }

  void clean(const CleanRequest&, const Context&, Responder<CleanResponse> responder) {
    writer_->submit(make_job<CleanJob>(
        expired_since(options_.retention),
        [this, responder = std::move(responder)](const Status& status, uint64_t removed) mutable {
          if (!status.ok()) return responder.finish(status);
          cleaned_total_.add(static_cast<double>(removed));
          CleanResponse response;
          response.set_count(removed);
          responder.finish(response);
        }));
  }

  static std::unique_ptr<Job> scheduled_clean(void* user) {
    auto* self = static_cast<SqliteStorage*>(user);
    return make_job<CleanJob>(
        expired_since(self->options_.retention), [self](const Status& status, uint64_t removed) {
          if (!status.ok()) {
            self->host().warn("messages past their retention period could not be removed: " +
                              status.message());
            return;
          }
          self->cleaned_total_.add(static_cast<double>(removed));
          if (removed > 0) {
            self->host().debug(std::to_string(removed) +
                               " messages past their retention period removed");
          }
        });
  }

  Options options_;
  WriterMetrics metrics_;
  Metric put_total_;
  Metric cleaned_total_;
  std::unique_ptr<Readers> readers_;
  std::unique_ptr<Writer> writer_;
};

}  // namespace
}  // namespace imctl::storage

IMCTL_MODULE(imctl::storage::SqliteStorage)
