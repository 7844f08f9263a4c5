// The module that every back end is: all storage services over its engine. What the methods mean
// stands beside them in api/proto.
//
//   class SqliteStorage : public StorageModule {
//    public:
//     using StorageModule::StorageModule;
//     Status prepare(const Settings& settings) override;         // reads its Config; configure()
//    private:
//     Result<std::unique_ptr<Engine>> open(Watchers*) override;  // on activation
//   };
#ifndef IMCTL_STORAGE_STORAGE_MODULE_H
#define IMCTL_STORAGE_STORAGE_MODULE_H

#include <atomic>
#include <chrono>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "api/grpc/cleaner/service.pb.h"
#include "api/grpc/service.pb.h"
#include "engine.h"
#include "imctl/sdk.h"
#include "imctl/storage/v1/mailboxes.pb.h"
#include "imctl/storage/v1/records.pb.h"
#include "imctl/storage/v1/snapshots.pb.h"
#include "load_checker.h"
#include "settings.h"
#include "watchers.h"
#include "writer.h"

namespace imctl::storage {

class StorageModule : public Module {
 public:
  explicit StorageModule(const Host& host);
  ~StorageModule() override;

  Status activate() override;
  Status deactivate() override;
  void report(State& state) override;

 protected:
  // In prepare.
  void configure(const CommonSettings& settings) { settings_ = settings; }
  // In apply: what of them may change while the module runs.
  void change(const CommonSettings& settings);
  const CommonSettings& settings() const { return settings_; }

 private:
  struct OpenDump;

  // Opens the store for this process to write; nothing of it is used before. `watchers` outlives
  // it.
  virtual Result<std::unique_ptr<Engine>> open(Watchers* watchers) = 0;

  // Is the store there to be used? Not while a snapshot is loaded.
  Status ready() const;
  Status check_count(size_t count, const char* what) const;
  size_t limit(uint32_t asked) const;
  // What a page of an answer may hold, so that the answer keeps to max_reply.
  size_t page_bytes() const;
  // The same for a watcher, of which there may be many who do not read.
  size_t watch_bytes() const;
  // The full name of a collection, as the caller may use it.
  Result<std::string> collection(const Context& context, const std::string& name) const;
  Result<RecordWrite> to_write(const Context& context, const v1::PutRecordRequest& request) const;
  Result<RecordWrite> to_write(const Context& context,
                               const v1::DeleteRecordRequest& request) const;
  void tick();
  void register_messages();
  void register_mailboxes();
  void register_records();
  void register_snapshots();

  // messages_service.cc
  void put(const Buffer& request, const Context&,
           Responder<awakari::messages::PutBatchResponse> responder);
  Result<Buffer> get(const awakari::messages::GetBatchRequest& request, const Context&);
  void remove(const awakari::messages::DeleteBatchRequest& request, const Context&,
              Responder<awakari::messages::DeleteBatchResponse> responder);
  void clean(const awakari::messages::cleaner::CleanRequest&, const Context&,
             Responder<awakari::messages::cleaner::CleanResponse> responder);
  void clean_what_expired();

  // mailboxes_service.cc
  void append(const Buffer& request, const Context&, Responder<v1::AppendResponse> responder);
  Result<Buffer> read(const v1::ReadRequest& request, const Context&);
  Task<Status> watch_mailbox(const v1::WatchMailboxRequest& request, imctl::Writer<Buffer>& writer);
  void ack(const v1::AckRequest& request, const Context&, Responder<v1::Cursor> responder);
  Result<v1::CursorsResponse> cursors(const v1::CursorsRequest& request, const Context&);
  void delete_cursor(const v1::DeleteCursorRequest& request, const Context&,
                     Responder<v1::DeleteCursorResponse> responder);
  Result<v1::ListMailboxesResponse> list_mailboxes(const v1::ListMailboxesRequest& request,
                                                   const Context&);
  void delete_mailbox(const v1::DeleteMailboxRequest& request, const Context&,
                      Responder<v1::DeleteMailboxResponse> responder);

  // records_service.cc
  Result<v1::Record> get_record(const v1::GetRecordRequest& request, const Context& context);
  void put_record(const v1::PutRecordRequest& request, const Context& context,
                  Responder<v1::PutRecordResponse> responder);
  void delete_record(const v1::DeleteRecordRequest& request, const Context& context,
                     Responder<v1::DeleteRecordResponse> responder);
  Result<v1::ListRecordsResponse> list_records(const v1::ListRecordsRequest& request,
                                               const Context& context);
  Task<Status> watch_records(const v1::WatchRecordsRequest& request,
                             imctl::Writer<v1::Change>& writer);
  void commit_records(const v1::CommitRequest& request, const Context& context,
                      Responder<v1::CommitResponse> responder);
  Result<v1::CollectionsResponse> collections(const v1::CollectionsRequest&,
                                              const Context& context);

  // snapshots_service.cc
  Task<Status> dump(const v1::DumpRequest&, imctl::Writer<v1::SnapshotChunk>& writer);
  Task<Result<v1::LoadResponse>> load(Reader<v1::SnapshotChunk>& reader);
  Task<Status> load_items(Reader<v1::SnapshotChunk>& reader, LoadChecker* checker);
  Task<Status> write_load(LoadSnapshot work);
  void end_idle_dumps();

  CommonSettings settings_;
  WriterMetrics metrics_;
  Metric put_total_;
  Metric cleaned_total_;
  Watchers watchers_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Writer> writer_;
  std::chrono::steady_clock::time_point next_clean_;
  std::atomic<bool> clean_again_{false};
  std::atomic<bool> load_runs_{false};
  std::mutex dumps_mutex_;
  std::list<std::weak_ptr<OpenDump>> dumps_;  // guarded by dumps_mutex_
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_STORAGE_MODULE_H
