// awakari.messages.Service and .cleaner.Service.
#include <google/protobuf/arena.h>

#include <array>
#include <climits>
#include <utility>
#include <vector>

#include "message.h"
#include "storage_module.h"
#include "wire.h"

namespace imctl::storage {

using awakari::messages::DeleteBatchRequest;
using awakari::messages::DeleteBatchResponse;
using awakari::messages::GetBatchRequest;
using awakari::messages::PutBatchRequest;
using awakari::messages::PutBatchResponse;
using awakari::messages::cleaner::CleanRequest;
using awakari::messages::cleaner::CleanResponse;

namespace {

// Where the items of a PutBatchRequest are in its bytes, up to the first that cannot be stored.
struct Batch {
  std::vector<PutMessages::Item> items;
  size_t count = 0;  // of all
  Status invalid;    // why the one after `items` cannot be stored
  bool malformed = false;
};

// The id as it stands in a serialized message, of which the last one counts.
std::string_view id_in(std::string_view message) {
  std::string_view id;
  wire::for_each_bytes(message, [&](int field, std::string_view bytes) {
    if (field == pb::CloudEvent::kIdFieldNumber) id = bytes;
    return true;
  });
  return id;
}

// Messages are parsed only to see whether they are good, on memory that is used again and again.
class Checker {
 public:
  Checker() : arena_(memory_.data(), memory_.size()) {}

  // False: it is no message.
  bool check(std::string_view data, size_t index, size_t max_message, Status* invalid) {
    arena_.Reset();
    auto* message = google::protobuf::Arena::CreateMessage<pb::CloudEvent>(&arena_);
    if (!message->ParseFromArray(data.data(), static_cast<int>(data.size()))) return false;
    if (std::string missing = missing_field(*message); !missing.empty()) {
      *invalid = {IMCTL_INVALID_ARGUMENT, describe(index, message->id()) + ": " + missing +
                                              " is empty: every message needs one"};
    } else if (data.size() > max_message) {
      *invalid = {IMCTL_INVALID_ARGUMENT,
                  describe(index, message->id()) + ": " + std::to_string(data.size()) +
                      " bytes are more than max_message, " + std::to_string(max_message)};
    }
    return true;
  }

 private:
  std::array<char, 4096> memory_;
  google::protobuf::Arena arena_;
};

Batch read_batch(std::string_view request, size_t max_message) {
  Batch batch;
  Checker checker;
  batch.malformed = !wire::for_each_bytes(request, [&](int field, std::string_view data) {
    if (field != PutBatchRequest::kMsgsFieldNumber) return true;
    Status invalid;
    if (!checker.check(data, batch.count, max_message, &invalid)) return false;
    ++batch.count;
    if (batch.invalid.ok() && invalid.ok()) {
      batch.items.push_back({id_in(data), data});
    } else if (batch.invalid.ok()) {
      batch.invalid = invalid;
    }
    return true;
  });
  return batch;
}

Status conflict(const PutMessages& work) {
  return {IMCTL_ALREADY_EXISTS, describe(0, work.items[0].id) +
                                    ": another message with this id is stored: use a new id, or "
                                    "delete that one first"};
}

}  // namespace

void StorageModule::register_messages() {
  serve("/awakari.messages.Service/PutBatch", &StorageModule::put);
  serve("/awakari.messages.Service/GetBatch", &StorageModule::get);
  serve("/awakari.messages.Service/DeleteBatch", &StorageModule::remove);
  serve("/awakari.messages.cleaner.Service/Clean", &StorageModule::clean);
}

void StorageModule::put(const Buffer& request, const Context& /*context*/,
                        Responder<PutBatchResponse> responder) {
  Batch batch = read_batch(request.view(), settings_.max_message);
  if (batch.malformed) {
    return responder.finish(
        Status(IMCTL_INVALID_ARGUMENT,
               "the request is not a valid " + PutBatchRequest::default_instance().GetTypeName()));
  }
  if (Status status = check_count(batch.count, "messages"); !status.ok()) {
    return responder.finish(status);
  }
  if (batch.items.empty()) {
    if (!batch.invalid.ok()) return responder.finish(batch.invalid);
    return responder.finish(PutBatchResponse());
  }
  PutMessages work;
  work.items = std::move(batch.items);
  work.bytes = request;
  writer_->submit(std::move(work),
                  [this, responder = std::move(responder)](
                      const Status& status, const PutMessages& done, uint64_t /*removed*/) mutable {
                    if (!status.ok()) return responder.finish(status);
                    if (done.stored == 0) return responder.finish(conflict(done));
                    put_total_.add(static_cast<double>(done.stored));
                    PutBatchResponse response;
                    response.set_ackcount(static_cast<uint32_t>(done.stored));
                    responder.finish(response);
                  });
}

Result<Buffer> StorageModule::get(const GetBatchRequest& request, const Context& /*context*/) {
  if (Status status = ready(); !status.ok()) return status;
  if (Status status = check_count(static_cast<size_t>(request.ids_size()), "ids"); !status.ok()) {
    return status;
  }
  std::vector<std::string_view> ids(request.ids().begin(), request.ids().end());
  std::string reply;
  if (!ids.empty()) {
    Status status = engine_->get_messages(ids, [&](std::string_view data) {
      wire::append_bytes(&reply, awakari::messages::GetBatchResponse::kMsgsFieldNumber, data);
      return reply.size() <= settings_.max_reply;
    });
    if (!status.ok()) return status;
  }
  if (reply.size() > settings_.max_reply) {
    return Status(IMCTL_RESOURCE_EXHAUSTED, "the messages asked for are larger than max_reply, " +
                                                std::to_string(settings_.max_reply) +
                                                " bytes: ask for fewer ids at a time");
  }
  return host().wrap(std::move(reply));
}

void StorageModule::remove(const DeleteBatchRequest& request, const Context& /*context*/,
                           Responder<DeleteBatchResponse> responder) {
  Status status = check_count(static_cast<size_t>(request.ids_size()), "ids");
  if (!status.ok()) return responder.finish(status);
  if (request.ids().empty()) return responder.finish(DeleteBatchResponse());
  DeleteMessages work;
  work.ids.assign(request.ids().begin(), request.ids().end());
  writer_->submit(std::move(work), [responder = std::move(responder)](
                                       const Status& status, const DeleteMessages& done,
                                       uint64_t /*removed*/) mutable {
    if (!status.ok()) return responder.finish(status);
    DeleteBatchResponse response;
    response.set_ackcount(static_cast<uint32_t>(done.deleted));
    responder.finish(response);
  });
}

void StorageModule::clean(const CleanRequest& /*request*/, const Context& /*context*/,
                          Responder<CleanResponse> responder) {
  CleanMessages work;
  work.before = unix_ms() - settings_.retention.messages.count();
  writer_->submit(work, [this, responder = std::move(responder)](
                            const Status& status, const CleanMessages&, uint64_t removed) mutable {
    if (!status.ok()) return responder.finish(status);
    cleaned_total_.add(static_cast<double>(removed));
    CleanResponse response;
    response.set_count(removed);
    responder.finish(response);
  });
}

void StorageModule::clean_what_expired() {
  auto over = [this](const Status& status, const auto& /*work*/, uint64_t removed) {
    if (!status.ok()) {
      host().warn("messages past their retention period could not be removed: " + status.message());
      return;
    }
    cleaned_total_.add(static_cast<double>(removed));
    if (removed > 0) {
      host().debug(std::to_string(removed) + " messages past their retention period removed");
    }
  };
  if (engine_->loading() || engine_->replacing()) return;
  CleanMessages messages;
  messages.before = unix_ms() - settings_.retention.messages.count();
  messages.all = false;
  writer_->submit(messages, over);
  if (settings_.retention.mailboxes.count() == 0) return;
  CleanMailboxes mailboxes;
  mailboxes.before = unix_ms() - settings_.retention.mailboxes.count();
  writer_->submit(mailboxes, over);
}

}  // namespace imctl::storage
