#include "exporter.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "disk.h"
#include "imctl/storage/v1/mailboxes.pb.h"
#include "records.h"
#include "tar.h"
#include "xml_writer.h"

namespace imctl::backup {
namespace {

using storage::v1::SnapshotItem;
constexpr size_t kPiece = size_t{256} << 10U;

class Exporter {
 public:
  Exporter(Core* core, const v1::ExportDataRequest& request,
           imctl::Writer<v1::ExportDataResponse>* writer)
      : core_(core), request_(request), writer_(writer) {}

  Task<Status> run() {
    Status status;
    switch (request_.format()) {
      case v1::FORMAT_UNSPECIFIED:
      case v1::FORMAT_JSONL: status = co_await json(); break;
      case v1::FORMAT_XEP0227_EJABBERD:
      case v1::FORMAT_XEP0227: status = co_await xep0227(); break;
      case v1::FORMAT_XEP0227_PROSODY: status = co_await prosody(); break;
      default: co_return Status(IMCTL_INVALID_ARGUMENT, "format: there is no such one");
    }
    if (status.ok()) status = co_await flush(0);
    if (!status.ok()) co_return status;
    counts_.clear_file();
    if (!co_await writer_->write(counts_)) co_return caller_gone();
    co_return Status();
  }

 private:
  Task<Status> flush(size_t least) {
    if (writer_->context().cancelled()) co_return caller_gone();
    if (out_.size() < least || out_.empty()) co_return Status();
    const std::string bytes = std::exchange(out_, {});
    for (size_t at = 0; at < bytes.size(); at += kPiece) {
      v1::ExportDataResponse reply;
      reply.set_done(counts_.done());
      reply.set_file(bytes.substr(at, kPiece));
      if (!co_await writer_->write(reply)) co_return caller_gone();
    }
    co_return Status();
  }
  void user_done() {
    counts_.set_users(counts_.users() + 1);
    counts_.set_done(counts_.done() + 1);
  }
  void message_done() {
    counts_.set_messages(counts_.messages() + 1);
    counts_.set_done(counts_.done() + 1);
  }
  void leave_out() { counts_.set_left_out(counts_.left_out() + 1); }

  // `ann` means ann of whichever domain.
  bool wanted(const std::string& address) const {
    if (request_.users().empty()) return true;
    return std::any_of(request_.users().begin(), request_.users().end(),
                       [&](const std::string& user) {
                         return address == user || address.starts_with(user + "@");
                       });
  }

  // Calls `each` with every user that is meant, by address.
  template <class Each>
  Task<Status> for_each_user(Each each) {
    std::vector<std::string> prefixes(request_.users().begin(), request_.users().end());
    if (prefixes.empty()) prefixes.emplace_back();
    for (const std::string& prefix : prefixes) {
      user::v1::DumpUsersRequest request;
      request.set_prefix(prefix);
      ClientStream<user::v1::DumpUsersRequest, user::v1::ImportLine> users(core_->users, {},
                                                                           &request);
      while (std::optional<user::v1::ImportLine> line = co_await users.read()) {
        if (!prefix.empty() && line->user() != prefix && !line->user().starts_with(prefix + "@")) {
          continue;
        }
        Status status = co_await each(std::move(*line));
        if (!status.ok()) co_return status;
      }
      Result<Buffer> end = co_await users.finish();
      if (!end.ok()) co_return end.status();
    }
    co_return Status();
  }

  // ---- JSON lines

  Task<Status> write_line(v1::ExchangeLine line) {
    Result<std::string> json =
        core_->host.to_json("imctl.backup.v1.ExchangeLine", line.SerializeAsString());
    if (!json.ok()) co_return json.status();
    out_ += *json + "\n";
    Status status = co_await flush(kPiece);
    co_return status;
  }

  Task<Status> json() {
    v1::ExchangeLine header;
    header.mutable_imctl()->set_format(1);
    header.mutable_imctl()->set_domain(core_->options()->domain);
    header.mutable_imctl()->mutable_time()->set_seconds(std::time(nullptr));
    Status status = co_await write_line(std::move(header));
    if (!status.ok()) co_return status;
    auto user = [this](user::v1::ImportLine from) -> Task<Status> {
      v1::ExchangeLine line;
      *line.mutable_user() = std::move(from);
      user_done();
      Status written = co_await write_line(std::move(line));
      co_return written;
    };
    status = co_await for_each_user(user);
    if (!status.ok() || request_.users_only()) co_return status;
    // Cursors are known before the messages that they point at, and are written after them.
    for (const auto kind : {SnapshotItem::kDelivery, SnapshotItem::kMailbox}) {
      status = co_await dump(kind);
      if (!status.ok()) co_return status;
    }
    co_return status;
  }

  Task<Status> dump(SnapshotItem::ItemCase kind) {
    const storage::v1::DumpRequest request;
    ClientStream<storage::v1::DumpRequest, Buffer> dump(core_->storage.dump, {}, &request);
    while (std::optional<Buffer> chunk = co_await dump.read()) {
      if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
      std::vector<SnapshotItem> items;
      bool over = false;
      Status status =
          for_each_record(chunk->view(), [&](std::string_view, std::string_view record) -> Status {
            over = over || kind_of(record) > kind;
            if (kind_of(record) != kind) return {};
            if (items.emplace_back().ParseFromArray(record.data(),
                                                    static_cast<int>(record.size()))) {
              return {};
            }
            return {IMCTL_DATA_LOSS, "what the storage dumps is no dump"};
          });
      if (!status.ok()) co_return status;
      for (const SnapshotItem& item : items) {
        if (item.has_delivery()) {
          status = co_await delivery(item.delivery());
        } else {
          status = co_await cursors(item.mailbox());
        }
        if (!status.ok()) co_return status;
      }
      if (over) co_return Status();
    }
    Result<Buffer> end = co_await dump.finish();
    co_return end.status();
  }

  Task<Status> delivery(const storage::v1::Delivery& from) {
    v1::ExchangeLine line;
    v1::ExchangeMessage* to = line.mutable_message();
    for (const storage::v1::Position& position : from.positions()) {
      if (wanted(position.mailbox())) to->add_mailboxes(position.mailbox());
    }
    if (to->mailboxes().empty()) co_return Status();
    if (!to->mutable_message()->ParseFromString(from.message())) {
      leave_out();
      co_return Status();
    }
    *to->mutable_time() = from.time();
    message_done();
    Status status = co_await write_line(std::move(line));
    co_return status;
  }

  Task<Status> cursors(const storage::v1::SnapshotMailbox& from) {
    if (!wanted(from.state().mailbox())) co_return Status();
    for (const storage::v1::Cursor& cursor : from.cursors()) {
      v1::ExchangeLine line;
      line.mutable_cursor()->set_mailbox(from.state().mailbox());
      line.mutable_cursor()->set_device(cursor.device());
      line.mutable_cursor()->set_left(from.state().last() -
                                      std::min(cursor.sequence(), from.state().last()));
      Status status = co_await write_line(std::move(line));
      if (!status.ok()) co_return status;
    }
    co_return Status();
  }

  // ---- XEP-0227

  // The entries after a number up to another one.
  Task<Status> messages(XmlWriter* xml, std::string mailbox, uint64_t after, uint64_t upto,
                        bool archive, std::string* to, Scratch* scratch) {
    while (after < upto) {
      storage::v1::ReadRequest request;
      request.set_mailbox(mailbox);
      request.set_after(after);
      const CallOptions plain;
      Result<storage::v1::ReadResponse> page = co_await core_->read_mailbox(request, plain);
      if (!page.ok()) co_return page.status();
      if (page->entries().empty()) co_return Status();
      if (Status status = co_await on_slow_pool(core_->host); !status.ok()) co_return status;
      for (const storage::v1::Entry& entry : page->entries()) {
        after = entry.sequence();
        if (after > upto) co_return Status();
        const std::string stanza = to_stanza(entry.message(), mailbox);
        if (stanza.empty()) {
          leave_out();
          continue;
        }
        if (archive) {
          xml->archived(stanza, entry.time(),
                        std::to_string(entry.epoch()) + "-" + std::to_string(entry.sequence()));
        } else {
          xml->offline(stanza, entry.time(), mailbox.substr(mailbox.find('@') + 1));
        }
        message_done();
      }
      Status status = co_await spill(to, scratch);
      if (!status.ok()) co_return status;
    }
    co_return Status();
  }

  // What is written so far goes on: to the caller, or to be put by.
  Task<Status> spill(std::string* from, Scratch* scratch) {
    if (scratch != nullptr) co_return scratch->write(std::exchange(*from, {}));
    Status status = co_await flush(kPiece);
    co_return status;
  }

  // One user's element. With all in the archive, or what no device has received as kept for them.
  Task<Status> user(XmlWriter* xml, const user::v1::ImportLine& line, bool all_archived,
                    std::string* to, Scratch* scratch) {
    if (!xml->begin_user(line, request_.mechanism(),
                         request_.format() == v1::FORMAT_XEP0227_EJABBERD))
      leave_out();
    user_done();
    if (request_.users_only()) {
      xml->end();
      co_return Status();
    }
    uint64_t received = 0;
    if (!all_archived) {
      storage::v1::CursorsRequest request;
      request.set_mailbox(line.user());
      const CallOptions plain;
      Result<storage::v1::CursorsResponse> cursors = co_await core_->cursors(request, plain);
      if (!cursors.ok()) co_return cursors.status();
      for (const storage::v1::Cursor& cursor : cursors->cursors()) {
        received = std::max(received, cursor.sequence());
      }
    }
    const uint64_t archived = all_archived ? UINT64_MAX : received;
    Status status;
    if (archived > 0) {
      xml->begin_archive();
      status = co_await messages(xml, line.user(), 0, archived, true, to, scratch);
      xml->end();
    }
    if (status.ok() && !all_archived) {
      xml->begin_offline();
      status = co_await messages(xml, line.user(), received, UINT64_MAX, false, to, scratch);
      xml->end();
    }
    xml->end();
    co_return status;
  }

  Task<Status> xep0227() {
    XmlWriter xml(&out_);
    xml.begin();
    std::string host;
    auto each = [&](user::v1::ImportLine line) -> Task<Status> {
      const std::string its_host = line.user().substr(line.user().find('@') + 1);
      // By address, they are not together: a host may be there several times.
      if (its_host != host) {
        if (!host.empty()) xml.end();
        xml.begin_host(its_host);
        host = its_host;
      }
      Status status = co_await user(&xml, line, false, &out_, nullptr);
      if (status.ok()) status = co_await flush(kPiece);
      co_return status;
    };
    Status status = co_await for_each_user(each);
    xml.end_all();
    co_return status;
  }

  Task<Status> prosody() {
    TarWriter tar(&out_);
    auto each = [&](user::v1::ImportLine line) -> Task<Status> {
      if (Status on = co_await on_slow_pool(core_->host); !on.ok()) co_return on;
      Result<std::unique_ptr<Scratch>> scratch = Scratch::create(core_->options()->data_dir);
      if (!scratch.ok()) co_return scratch.status();
      std::string bytes;
      XmlWriter xml(&bytes);
      xml.begin();
      xml.begin_host(line.user().substr(line.user().find('@') + 1));
      Status status = co_await user(&xml, line, true, &bytes, scratch->get());
      if (!status.ok()) co_return status;
      xml.end_all();
      if (Status on = co_await on_slow_pool(core_->host); !on.ok()) co_return on;
      status = (*scratch)->write(bytes);
      if (!status.ok()) co_return status;
      Result<std::shared_ptr<Source>> source = (*scratch)->read();
      if (!source.ok()) co_return source.status();
      tar.begin_file(line.user() + ".xml", (*source)->size());
      for (uint64_t at = 0; at < (*source)->size(); at += kPiece) {
        std::string piece(static_cast<size_t>(std::min<uint64_t>(kPiece, (*source)->size() - at)),
                          '\0');
        status = (*source)->read(at, piece.data(), piece.size());
        if (!status.ok()) co_return status;
        tar.write(piece);
        status = co_await flush(kPiece);
        if (!status.ok()) co_return status;
        if (Status on = co_await on_slow_pool(core_->host); !on.ok()) co_return on;
      }
      co_return status;
    };
    Status status = co_await for_each_user(each);
    tar.end();
    co_return status;
  }

  Core* const core_;
  const v1::ExportDataRequest& request_;
  imctl::Writer<v1::ExportDataResponse>* const writer_;
  v1::ExportDataResponse counts_;
  std::string out_;
};

}  // namespace

Task<Status> export_data(Core* core, const v1::ExportDataRequest& request,
                         imctl::Writer<v1::ExportDataResponse>& writer) {
  if (!request.mechanism().empty() && request.mechanism() != "SCRAM-SHA-1" &&
      request.mechanism() != "SCRAM-SHA-256") {
    co_return Status(IMCTL_INVALID_ARGUMENT, "mechanism: SCRAM-SHA-1 or SCRAM-SHA-256");
  }
  Exporter exporter(core, request, &writer);
  Status status = co_await exporter.run();
  co_return status;
}

}  // namespace imctl::backup
