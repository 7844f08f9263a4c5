// imctl.message.v1.Messages.
#ifndef IMCTL_ROUTER_MESSAGES_SERVICE_H
#define IMCTL_ROUTER_MESSAGES_SERVICE_H

#include <memory>
#include <string>

#include "imctl/message/v1/messages.pb.h"
#include "imctl/service.h"
#include "node_shell.h"

namespace imctl::router {

class MessagesService {
 public:
  MessagesService(NodeShell* node, Module* module);

 private:
  using Message = storage::v1::Message;
  using WatchStream = ClientStream<storage::v1::WatchMailboxRequest, storage::v1::Entry>;

  Task<Result<message::v1::SendResponse>> send(const message::v1::SendRequest& request,
                                               const Context& context);
  Task<Status> watch(const message::v1::WatchRequest& request, Writer<storage::v1::Entry>& writer);
  Task<Result<message::v1::HistoryResponse>> history(const message::v1::HistoryRequest& request,
                                                     const Context& context);
  Task<Status> chat(imctl::Stream<message::v1::ChatInput, message::v1::ChatLine>& stream);

  struct Watching;
  imctl::detail::Detached listen(std::shared_ptr<Watching> watching,
                                 Writer<message::v1::ChatLine>* to, std::string self,
                                 uint64_t after, std::string with);
  // Whose mailbox: the caller's own, or anybody's for administrators.
  Task<Result<std::string>> mailbox_of(std::string user, const Context& context);
  // Stores it, and has it delivered.
  Task<Result<Stored>> deliver(std::string sender, Message message);
  Task<Result<Page>> read(std::string mailbox, uint64_t after, uint32_t limit);

  NodeShell* const node_;
  const Method<storage::v1::WatchMailboxRequest, storage::v1::Entry> watch_;
};

}  // namespace imctl::router

#endif  // IMCTL_ROUTER_MESSAGES_SERVICE_H
