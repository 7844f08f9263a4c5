// imctl.storage.v1.Mailboxes.
#include <climits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "message.h"
#include "storage_module.h"
#include "watch.h"
#include "wire.h"
#include "unix_time.h"

namespace imctl::storage {
namespace {

constexpr size_t kMaxMailbox = 1024;
constexpr size_t kMaxDevice = 256;

Status bad(const std::string& text) { return {IMCTL_INVALID_ARGUMENT, text}; }

Status check_name(const char* field, const std::string& name, size_t max) {
  if (!name.empty() && name.size() <= max) return {};
  return bad(std::string(field) + " is " + (name.empty() ? "empty" : "too long") + ": 1 to " +
             std::to_string(max) + " bytes name one");
}

Status check_mailbox(const std::string& name) { return check_name("mailbox", name, kMaxMailbox); }

Status other_epoch(std::string_view mailbox, uint64_t asked, uint64_t has) {
  return {IMCTL_FAILED_PRECONDITION,
          "mailbox \"" + std::string(mailbox) + "\" has epoch " + std::to_string(has) + ", not " +
              std::to_string(asked) +
              ": it was deleted or restored; forget its numbers and read it from the first"};
}

// A serialized Entry; the message goes into it as it was stored.
std::string serialize(const MailboxEntry& entry, uint64_t epoch) {
  v1::Entry frame;
  frame.set_sequence(entry.sequence);
  *frame.mutable_time() = to_timestamp(entry.time);
  frame.set_epoch(epoch);
  std::string bytes = frame.SerializeAsString();
  wire::append_bytes(&bytes, v1::Entry::kMessageFieldNumber, entry.data);
  return bytes;
}

void fill(const MailboxState& from, v1::MailboxState* to) {
  to->set_mailbox(from.mailbox);
  to->set_epoch(from.epoch);
  to->set_first(from.first);
  to->set_last(from.last);
}

}  // namespace

void StorageModule::register_mailboxes() {
  serve("/imctl.storage.v1.Mailboxes/Append", &StorageModule::append);
  serve("/imctl.storage.v1.Mailboxes/Read", &StorageModule::read);
  serve("/imctl.storage.v1.Mailboxes/Watch", &StorageModule::watch_mailbox);
  serve("/imctl.storage.v1.Mailboxes/Ack", &StorageModule::ack);
  serve("/imctl.storage.v1.Mailboxes/Cursors", &StorageModule::cursors);
  serve("/imctl.storage.v1.Mailboxes/DeleteCursor", &StorageModule::delete_cursor);
  serve("/imctl.storage.v1.Mailboxes/List", &StorageModule::list_mailboxes);
  serve("/imctl.storage.v1.Mailboxes/Delete", &StorageModule::delete_mailbox);
}

void StorageModule::append(const Buffer& bytes, const Context& /*context*/,
                           Responder<v1::AppendResponse> responder) {
  auto refuse = [&](const std::string& text) { responder.finish(bad(text)); };
  v1::AppendRequest request;
  AppendMessage work;
  int messages = 0;
  bool good = wire::for_each_bytes(bytes.view(), [&](int field, std::string_view data) {
    if (field == v1::AppendRequest::kMessageFieldNumber) {
      work.data = data;
      ++messages;
    }
    return true;
  });
  if (!good || !Codec<v1::AppendRequest>::parse(bytes, &request) || messages > 1) {
    return refuse("the request is not a valid " + request.GetTypeName());
  }
  const pb::CloudEvent& event = request.message().event();
  if (std::string missing = missing_field(event); !missing.empty()) {
    return refuse("message.event." + missing + " is empty: every message needs one");
  }
  if (work.data.size() > settings_.max_message) {
    return refuse("message: " + std::to_string(work.data.size()) +
                  " bytes are more than max_message, " + std::to_string(settings_.max_message));
  }
  if (request.recipients().empty()) return refuse("recipients: a message needs at least one");
  std::unordered_set<std::string_view> seen;
  for (const std::string& recipient : request.recipients()) {
    if (Status status = check_name("recipients", recipient, kMaxMailbox); !status.ok()) {
      return responder.finish(status);
    }
    if (seen.insert(recipient).second) work.mailboxes.push_back(recipient);
  }
  if (work.mailboxes.size() > settings_.max_recipients) {
    return refuse(std::to_string(work.mailboxes.size()) +
                  " recipients are more than max_recipients, " +
                  std::to_string(settings_.max_recipients));
  }
  if (request.has_time()) {
    const int64_t time = unix_ms(request.time());
    if (time < 0) return refuse("time: it is before 1970");
    work.given_time = std::min(time, unix_ms());
  }
  work.bytes = bytes;
  work.key = delivery_key(event);
  writer_->submit(
      std::move(work), [responder = std::move(responder), id = event.id()](
                           const Status& status, AppendMessage& done, uint64_t) mutable {
        if (!status.ok()) return responder.finish(status);
        if (done.conflict) {
          return responder.finish(Status(
              IMCTL_ALREADY_EXISTS,
              "another message with the id \"" + id + "\" of this source is stored: use a new id"));
        }
        v1::AppendResponse response;
        response.set_duplicate(done.duplicate);
        *response.mutable_time() = to_timestamp(done.time);
        for (Place& place : done.places) {
          v1::Position* position = response.add_positions();
          position->set_mailbox(std::move(place.mailbox));
          position->set_epoch(place.epoch);
          position->set_sequence(place.sequence);
        }
        responder.finish(response);
      });
}

Result<Buffer> StorageModule::read(const v1::ReadRequest& request, const Context& /*context*/) {
  if (Status status = ready(); !status.ok()) return status;
  if (Status status = check_mailbox(request.mailbox()); !status.ok()) return status;
  Result<MailboxPage> page = engine_->read_mailbox(request.mailbox(), request.after(),
                                                   limit(request.limit()), page_bytes());
  if (!page.ok()) return page.status();
  if (request.epoch() != 0 && request.epoch() != page->state.epoch) {
    return other_epoch(request.mailbox(), request.epoch(), page->state.epoch);
  }
  v1::ReadResponse frame;
  frame.set_epoch(page->state.epoch);
  frame.set_first(page->state.first);
  frame.set_last(page->state.last);
  std::string reply = frame.SerializeAsString();
  for (const MailboxEntry& entry : page->entries) {
    wire::append_bytes(&reply, v1::ReadResponse::kEntriesFieldNumber,
                       serialize(entry, page->state.epoch));
  }
  return host().wrap(std::move(reply));
}

Task<Status> StorageModule::watch_mailbox(const v1::WatchMailboxRequest& request,
                                          imctl::Writer<Buffer>& writer) {
  if (Status status = check_mailbox(request.mailbox()); !status.ok()) co_return status;
  uint64_t after = request.after();
  uint64_t epoch = request.epoch();
  bool first_look = true;
  auto look = [&](std::vector<Buffer>* found) -> Status {
    if (Status status = ready(); !status.ok()) return status;
    Result<MailboxPage> page =
        engine_->read_mailbox(request.mailbox(), after, settings_.max_batch, watch_bytes());
    if (!page.ok()) return page.status();
    const MailboxState& state = page->state;
    // It may not be there yet: then the epoch is known when it begins.
    if (epoch != 0 && epoch != state.epoch) {
      return other_epoch(request.mailbox(), epoch, state.epoch);
    }
    epoch = state.epoch;
    if (after + 1 < state.first && !(first_look && after == 0)) {
      return {IMCTL_OUT_OF_RANGE, "messages of mailbox \"" + request.mailbox() + "\" after " +
                                      std::to_string(after) + " expired; it begins at " +
                                      std::to_string(state.first) + " now: read from there"};
    }
    first_look = false;
    found->reserve(page->entries.size());
    for (const MailboxEntry& entry : page->entries) {
      found->push_back(host().wrap(serialize(entry, epoch)));
      after = entry.sequence;
    }
    return {};
  };
  co_return co_await watch(&watchers_, Watchers::Kind::kMailbox, request.mailbox(), host(), writer,
                           look);
}

void StorageModule::ack(const v1::AckRequest& request, const Context& /*context*/,
                        Responder<v1::Cursor> responder) {
  Status status = check_mailbox(request.mailbox());
  if (status.ok()) status = check_name("device", request.device(), kMaxDevice);
  if (!status.ok()) return responder.finish(status);
  AckMailbox work;
  work.mailbox = request.mailbox();
  work.device = request.device();
  work.sequence = request.sequence();
  work.epoch = request.epoch();
  writer_->submit(std::move(work),
                  [responder = std::move(responder)](const Status& status, const AckMailbox& done,
                                                     uint64_t) mutable {
                    if (!status.ok()) return responder.finish(status);
                    if (!done.outcome.ok()) return responder.finish(done.outcome);
                    v1::Cursor cursor;
                    cursor.set_device(done.device);
                    cursor.set_sequence(done.stands);
                    *cursor.mutable_time() = to_timestamp(done.moved);
                    responder.finish(cursor);
                  });
}

Result<v1::CursorsResponse> StorageModule::cursors(const v1::CursorsRequest& request,
                                                   const Context& /*context*/) {
  if (Status status = ready(); !status.ok()) return status;
  if (Status status = check_mailbox(request.mailbox()); !status.ok()) return status;
  Result<Cursors> found = engine_->cursors(request.mailbox());
  if (!found.ok()) return found.status();
  v1::CursorsResponse response;
  response.set_epoch(found->epoch);
  for (const CursorState& state : found->cursors) {
    v1::Cursor* cursor = response.add_cursors();
    cursor->set_device(state.device);
    cursor->set_sequence(state.sequence);
    *cursor->mutable_time() = to_timestamp(state.time);
  }
  return response;
}

void StorageModule::delete_cursor(const v1::DeleteCursorRequest& request,
                                  const Context& /*context*/,
                                  Responder<v1::DeleteCursorResponse> responder) {
  Status status = check_mailbox(request.mailbox());
  if (status.ok()) status = check_name("device", request.device(), kMaxDevice);
  if (!status.ok()) return responder.finish(status);
  DeleteCursor work;
  work.mailbox = request.mailbox();
  work.device = request.device();
  writer_->submit(
      std::move(work), [responder = std::move(responder)](
                           const Status& status, const DeleteCursor& done, uint64_t) mutable {
        if (!status.ok()) return responder.finish(status);
        if (!done.existed) {
          return responder.finish(Status(
              IMCTL_NOT_FOUND,
              "device \"" + done.device + "\" has no cursor in mailbox \"" + done.mailbox + "\""));
        }
        responder.finish(v1::DeleteCursorResponse());
      });
}

Result<v1::ListMailboxesResponse> StorageModule::list_mailboxes(
    const v1::ListMailboxesRequest& request, const Context& /*context*/) {
  if (Status status = ready(); !status.ok()) return status;
  const size_t most = limit(request.limit());
  // One more than is given tells whether there are more. The token is the last name.
  Result<std::vector<MailboxState>> found =
      engine_->list_mailboxes(request.prefix(), request.page_token(), most + 1);
  if (!found.ok()) return found.status();
  const bool more = found->size() > most;
  if (more) found->pop_back();
  v1::ListMailboxesResponse response;
  for (const MailboxState& state : *found) fill(state, response.add_mailboxes());
  if (more) response.set_next_page_token(found->back().mailbox);
  return response;
}

void StorageModule::delete_mailbox(const v1::DeleteMailboxRequest& request,
                                   const Context& /*context*/,
                                   Responder<v1::DeleteMailboxResponse> responder) {
  if (Status status = check_mailbox(request.mailbox()); !status.ok()) {
    return responder.finish(status);
  }
  DeleteMailbox work;
  work.mailbox = request.mailbox();
  writer_->submit(std::move(work),
                  [responder = std::move(responder)](const Status& status,
                                                     const DeleteMailbox& done, uint64_t) mutable {
                    if (!status.ok()) return responder.finish(status);
                    if (!done.existed) {
                      return responder.finish(
                          Status(IMCTL_NOT_FOUND, "there is no mailbox \"" + done.mailbox + "\""));
                    }
                    responder.finish(v1::DeleteMailboxResponse());
                  });
}

}  // namespace imctl::storage
