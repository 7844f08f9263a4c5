#include "messages_service.h"

#include <algorithm>
#include <random>
#include <utility>

#include "callback.h"
#include "imctl/event.h"
#include "on_loop.h"
#include "wire.h"

namespace imctl::router {
namespace {

constexpr uint32_t kHistory = 50;
constexpr uint32_t kMostHistory = 1000;
constexpr uint32_t kPage = 100;

std::string make_id() {
  std::random_device random;
  std::string id;
  constexpr char kDigits[] = "0123456789abcdef";
  for (int i = 0; i < 32; ++i) id += kDigits[random() % 16];
  return id;
}

Status no_node() {
  return {IMCTL_FAILED_PRECONDITION, "this host is no node (router.roles): ask one that is"};
}

bool is_admin(const Context& context) { return context.principal_kind() == IMCTL_PRINCIPAL_ADMIN; }

storage::v1::Entry to_entry(uint64_t epoch, const PageEntry& from) {
  storage::v1::Entry to;
  to.set_sequence(from.sequence);
  to.set_epoch(epoch);
  *to.mutable_time() = to_timestamp(from.time);
  to.mutable_message()->ParseFromString(*from.payload);
  return to;
}

}  // namespace

// A stream that another thread may end.
struct MessagesService::Watching {
  // False: it is closed already.
  bool hold(std::shared_ptr<WatchStream> stream) {
    std::lock_guard lock(mutex);
    if (!closed) held = std::move(stream);
    return !closed;
  }
  void close() {
    std::shared_ptr<WatchStream> stream;
    {
      std::lock_guard lock(mutex);
      closed = true;
      stream = std::move(held);
    }
    if (stream != nullptr) stream->cancel();
  }
  bool is_closed() {
    std::lock_guard lock(mutex);
    return closed;
  }

  std::mutex mutex;
  bool closed = false;                // guarded by mutex
  std::shared_ptr<WatchStream> held;  // guarded by mutex
  Event over;
};

MessagesService::MessagesService(NodeShell* node, Module* module)
    : node_(node), watch_(node->host(), "/imctl.storage.v1.Mailboxes/Watch") {
  module->serve("/imctl.message.v1.Messages/Send", this, &MessagesService::send);
  module->serve("/imctl.message.v1.Messages/Watch", this, &MessagesService::watch);
  module->serve("/imctl.message.v1.Messages/History", this, &MessagesService::history);
  module->serve("/imctl.message.v1.Messages/Chat", this, &MessagesService::chat);
}

Task<Result<std::string>> MessagesService::mailbox_of(std::string user, const Context& context) {
  const std::string self(context.principal());
  if (context.principal_kind() == IMCTL_PRINCIPAL_USER) {
    if (user.empty() || user == self) co_return self;
  } else if (!is_admin(context)) {
    co_return Status(IMCTL_PERMISSION_DENIED, "messages are for users and administrators");
  } else if (user.empty()) {
    co_return Status(IMCTL_INVALID_ARGUMENT,
                     "you are no user but an administrator: say whose messages you mean");
  }
  auto found = co_await callback<Result<std::vector<std::string>>>(
      [&](auto answer) { node_->directory().find({user}, std::move(answer)); });
  if (!found.ok() && is_admin(context)) co_return found.status();
  if (found.ok() && (is_admin(context) || found->front() == self)) co_return found->front();
  co_return Status(IMCTL_PERMISSION_DENIED,
                   "you are " + self + ": only administrators see others' messages");
}

Task<Result<Stored>> MessagesService::deliver(std::string sender, Message message) {
  auto outgoing = co_await callback<Result<Outgoing>>([&](auto ready) {
    prepare(&node_->directory(), {node_->options().max_recipients, node_->options().max_message},
            sender, "", std::move(message), std::move(ready));
  });
  if (!outgoing.ok()) co_return outgoing.status();
  auto stored = co_await callback<Stored>([&](auto answered) {
    node_->storage().append(outgoing->mailboxes, outgoing->payload, std::move(answered));
  });
  if (!stored.outcome.ok()) co_return to_status(stored.outcome);
  co_await on_loop(node_->loop());
  node_->machine().publish(Loop::now(), stored.positions, stored.time, outgoing->payload);
  co_return std::move(stored);
}

Task<Result<Page>> MessagesService::read(std::string mailbox, uint64_t after, uint32_t limit) {
  auto page = co_await callback<Page>(
      [&](auto answered) { node_->storage().read(mailbox, after, limit, std::move(answered)); });
  if (!page.outcome.ok()) co_return to_status(page.outcome);
  co_return std::move(page);
}

Task<Result<message::v1::SendResponse>> MessagesService::send(
    const message::v1::SendRequest& request, const Context& context) {
  if (!node_->is_running()) co_return no_node();
  std::string sender(context.principal());
  if (context.principal_kind() == IMCTL_PRINCIPAL_USER) {
    if (!request.from().empty() && request.from() != sender) {
      co_return Status(IMCTL_PERMISSION_DENIED, "from is " + request.from() + ", but you are " +
                                                    sender + ": leave it empty");
    }
  } else if (!is_admin(context)) {
    co_return Status(IMCTL_PERMISSION_DENIED, "messages are for users and administrators");
  } else if (request.from().empty()) {
    sender = node_->options().domain;
  } else {
    auto found = co_await callback<Result<std::vector<std::string>>>(
        [&](auto answer) { node_->directory().find({request.from()}, std::move(answer)); });
    if (!found.ok()) co_return found.status();
    sender = found->front();
  }
  Message message = request.message();
  pb::CloudEvent* event = message.mutable_event();
  if (!request.text().empty()) {
    if (event->data_case() != pb::CloudEvent::DATA_NOT_SET) {
      co_return Status(IMCTL_INVALID_ARGUMENT, "`text` and a message with data: give one of them");
    }
    event->set_text_data(request.text());
  }
  if (!request.id().empty()) event->set_id(request.id());
  if (event->id().empty()) event->set_id(make_id());
  if (event->type().empty()) event->set_type("im");
  message.mutable_to()->MergeFrom(request.to());
  message::v1::SendResponse response;
  response.set_id(event->id());
  Result<Stored> stored = co_await deliver(std::move(sender), std::move(message));
  if (!stored.ok()) co_return stored.status();
  for (const Position& position : stored->positions) {
    storage::v1::Position* to = response.add_positions();
    to->set_mailbox(position.mailbox);
    to->set_epoch(position.epoch);
    to->set_sequence(position.sequence);
  }
  *response.mutable_time() = to_timestamp(stored->time);
  response.set_duplicate(stored->duplicate);
  co_return response;
}

Task<Status> MessagesService::watch(const message::v1::WatchRequest& request,
                                    Writer<storage::v1::Entry>& writer) {
  auto watching = std::make_shared<Watching>();
  writer.on_cancel([watching](imctl_code) { watching->close(); });
  Result<std::string> mailbox = co_await mailbox_of(request.user(), writer.context());
  if (!mailbox.ok()) co_return mailbox.status();
  storage::v1::WatchMailboxRequest from;
  from.set_mailbox(*mailbox);
  if (request.has_after()) {
    from.set_after(request.after());
  } else {
    Result<Page> end = co_await read(*mailbox, UINT64_MAX, 1);
    if (!end.ok()) co_return end.status();
    from.set_after(end->last);
    from.set_epoch(end->epoch);
  }
  auto stream = std::make_shared<WatchStream>(watch_, CallOptions(), &from);
  if (!watching->hold(stream)) stream->cancel();
  while (std::optional<storage::v1::Entry> entry = co_await stream->read()) {
    if (!co_await writer.write(*entry)) stream->cancel();
  }
  Result<Buffer> end = co_await stream->finish();
  watching->close();
  co_return end.status();
}

Task<Result<message::v1::HistoryResponse>> MessagesService::history(
    const message::v1::HistoryRequest& request, const Context& context) {
  Result<std::string> mailbox = co_await mailbox_of(request.user(), context);
  if (!mailbox.ok()) co_return mailbox.status();
  const uint32_t limit = request.limit() == 0 ? kHistory : std::min(request.limit(), kMostHistory);
  // Nothing is after the last: that tells where the mailbox ends.
  Result<Page> page = co_await read(*mailbox, UINT64_MAX, 1);
  if (!page.ok()) co_return page.status();
  message::v1::HistoryResponse response;
  response.set_first(page->first);
  response.set_last(page->last);
  const uint64_t end =
      request.before() == 0 ? page->last + 1 : std::min(request.before(), page->last + 1);
  const uint64_t begin = std::max(page->first, end > limit ? end - limit : 1);
  std::string with;
  if (!request.with().empty()) {
    auto found = co_await callback<Result<std::vector<std::string>>>(
        [&](auto answer) { node_->directory().find({request.with()}, std::move(answer)); });
    if (!found.ok()) co_return found.status();
    with = found->front();
  }
  uint64_t next = begin;
  while (next < end) {
    page = co_await read(*mailbox, next - 1,
                         static_cast<uint32_t>(std::min<uint64_t>(end - next, kPage)));
    if (!page.ok()) co_return page.status();
    if (page->entries.empty()) break;
    for (const PageEntry& entry : page->entries) {
      next = entry.sequence + 1;
      if (entry.sequence >= end) break;
      storage::v1::Entry made = to_entry(page->epoch, entry);
      if (!with.empty() && without_device(made.message().from()) != with) continue;
      *response.add_entries() = std::move(made);
    }
  }
  if (begin > response.first()) response.set_next_before(begin);
  co_return response;
}

Task<Status> MessagesService::chat(
    imctl::Stream<message::v1::ChatInput, message::v1::ChatLine>& stream) {
  auto watching = std::make_shared<Watching>();
  stream.on_cancel([watching](imctl_code) { watching->close(); });
  std::optional<message::v1::ChatInput> line = co_await stream.read();
  if (!line) co_return Status();
  if (!node_->is_running()) co_return no_node();
  const Context& context = stream.context();
  Result<std::string> self = co_await mailbox_of(line->as(), context);
  if (!self.ok()) {
    if (self.status().code() != IMCTL_INVALID_ARGUMENT) co_return self.status();
    co_return Status(
        IMCTL_INVALID_ARGUMENT,
        "you are no user but an administrator: say as whom you chat (--as), or log in");
  }
  if (line->with().empty()) co_return Status(IMCTL_INVALID_ARGUMENT, "with: say with whom");
  auto found = co_await callback<Result<std::vector<std::string>>>(
      [&](auto answer) { node_->directory().find({line->with()}, std::move(answer)); });
  if (!found.ok()) co_return found.status();
  const std::string with = found->front();
  Result<Page> end = co_await read(*self, UINT64_MAX, 1);
  if (!end.ok()) co_return end.status();

  listen(watching, &stream, *self, end->last, with);
  Status status;
  for (; line && status.ok(); line = co_await stream.read()) {
    if (line->text().empty()) continue;
    Message message;
    message.mutable_event()->set_id(make_id());
    message.mutable_event()->set_type("im");
    message.mutable_event()->set_text_data(line->text());
    message.add_to(with);
    Result<Stored> stored = co_await deliver(*self, std::move(message));
    status = stored.status();
  }
  watching->close();
  co_await watching->over;
  co_return status;
}

// Writes what `with` says, until it is closed. A storage that is replaced is listened to again.
imctl::detail::Detached MessagesService::listen(std::shared_ptr<Watching> watching,
                                                Writer<message::v1::ChatLine>* to, std::string self,
                                                uint64_t after, std::string with) {
  constexpr Time kPause = 500;
  for (;;) {
    storage::v1::WatchMailboxRequest from;
    from.set_mailbox(self);
    from.set_after(after);
    auto stream = std::make_shared<WatchStream>(watch_, CallOptions(), &from);
    if (!watching->hold(stream)) break;
    while (std::optional<storage::v1::Entry> entry = co_await stream->read()) {
      after = entry->sequence();
      if (without_device(entry->message().from()) != with) continue;
      message::v1::ChatLine said;
      said.set_from(entry->message().from());
      said.set_text(entry->message().event().text_data());
      *said.mutable_time() = entry->time();
      if (!co_await to->write(said)) watching->close();
    }
    (void)co_await stream->finish();
    if (watching->is_closed()) break;
    co_await pause_on(node_->loop(), kPause);
  }
  watching->over.set();
}

}  // namespace imctl::router
