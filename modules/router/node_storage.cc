#include "node_storage.h"

#include <utility>

#include "imctl/router/internal/wire.pb.h"
#include "imctl/storage/v1/mailboxes.pb.h"
#include "wire.h"

namespace imctl::router {
namespace {

const imctl_target* resolve(const Host& host, const char* method) {
  return host.client().resolve(host.raw(),
                               to_str(std::string("/imctl.storage.v1.Mailboxes/") + method));
}

// Fills `to` from a reply; what is wrong with it is the storage's fault.
template <class Message>
Outcome parse(const Status& status, const Buffer& reply, Message* to) {
  if (!status.ok()) return to_outcome(status);
  if (Codec<Message>::parse(reply, to)) return {};
  return {Code::kInternal, "the storage's answer is not a valid " + to->GetTypeName()};
}

}  // namespace

NodeStorage::NodeStorage(const Host& host)
    : host_(host),
      append_(resolve(host, "Append")),
      read_(resolve(host, "Read")),
      cursors_(resolve(host, "Cursors")),
      ack_(resolve(host, "Ack")),
      delete_cursor_(resolve(host, "DeleteCursor")) {}

void NodeStorage::append(const std::vector<std::string>& mailboxes, const Payload& payload,
                         std::function<void(Stored)> answered) const {
  internal::AppendRequest request;
  request.set_message(*payload);
  for (const std::string& mailbox : mailboxes) request.add_recipients(mailbox);
  ask(host_, append_, Codec<internal::AppendRequest>::serialize(host_, request), timeout_,
      [answered = std::move(answered)](const Status& status, const Buffer& reply) {
        Stored stored;
        storage::v1::AppendResponse response;
        stored.outcome = parse(status, reply, &response);
        stored.time = from_timestamp(response.time());
        stored.duplicate = response.duplicate();
        stored.positions.reserve(static_cast<size_t>(response.positions_size()));
        for (storage::v1::Position& position : *response.mutable_positions()) {
          stored.positions.push_back(
              {std::move(*position.mutable_mailbox()), position.epoch(), position.sequence()});
        }
        answered(std::move(stored));
      });
}

void NodeStorage::read(const std::string& mailbox, uint64_t after, uint32_t limit,
                       std::function<void(Page)> answered) const {
  storage::v1::ReadRequest request;
  request.set_mailbox(mailbox);
  request.set_after(after);
  request.set_limit(limit);
  ask(host_, read_, Codec<storage::v1::ReadRequest>::serialize(host_, request), timeout_,
      [answered = std::move(answered)](const Status& status, const Buffer& reply) {
        Page page;
        internal::ReadResponse response;
        page.outcome = parse(status, reply, &response);
        page.epoch = response.epoch();
        page.first = response.first();
        page.last = response.last();
        page.entries.reserve(static_cast<size_t>(response.entries_size()));
        for (internal::Entry& entry : *response.mutable_entries()) {
          page.entries.push_back(
              {entry.sequence(), from_timestamp(entry.time()),
               std::make_shared<const std::string>(std::move(*entry.mutable_message()))});
        }
        answered(std::move(page));
      });
}

void NodeStorage::cursors(const std::string& mailbox,
                          std::function<void(CursorPage)> answered) const {
  storage::v1::CursorsRequest request;
  request.set_mailbox(mailbox);
  ask(host_, cursors_, Codec<storage::v1::CursorsRequest>::serialize(host_, request), timeout_,
      [answered = std::move(answered)](const Status& status, const Buffer& reply) {
        CursorPage page;
        storage::v1::CursorsResponse response;
        page.outcome = parse(status, reply, &response);
        page.epoch = response.epoch();
        for (storage::v1::Cursor& cursor : *response.mutable_cursors()) {
          page.cursors.push_back({std::move(*cursor.mutable_device()), cursor.sequence(),
                                  from_timestamp(cursor.time())});
        }
        answered(std::move(page));
      });
}

void NodeStorage::move_cursor(const MoveCursor& move, std::function<void(Outcome)> answered) const {
  storage::v1::AckRequest request;
  request.set_mailbox(move.mailbox);
  request.set_device(move.device);
  request.set_epoch(move.epoch);
  request.set_sequence(move.sequence);
  ask(host_, ack_, Codec<storage::v1::AckRequest>::serialize(host_, request), timeout_,
      [answered = std::move(answered)](const Status& status, const Buffer& /*reply*/) {
        answered(to_outcome(status));
      });
}

void NodeStorage::drop_cursor(const DropCursor& drop) const {
  storage::v1::DeleteCursorRequest request;
  request.set_mailbox(drop.mailbox);
  request.set_device(drop.device);
  ask(host_, delete_cursor_, Codec<storage::v1::DeleteCursorRequest>::serialize(host_, request),
      timeout_,
      [host = host_, device = drop.device, mailbox = drop.mailbox](const Status& status,
                                                                   const Buffer& /*reply*/) {
        if (status.ok() || status.code() == IMCTL_NOT_FOUND) return;
        host.warn("the cursor of device " + device + " of " + mailbox +
                  " could not be removed: " + status.message());
      });
}

}  // namespace imctl::router
