#include "xml_reader.h"

#include <libxml/tree.h>
#include <libxml/xmlreader.h>
#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "time_text.h"
#include "xmpp_message.h"

namespace imctl::backup {
namespace {

constexpr char kPie[] = "urn:xmpp:pie:0";
constexpr char kXInclude[] = "http://www.w3.org/2001/XInclude";
constexpr char kXIncludeOld[] = "http://www.w3.org/2003/XInclude";
constexpr size_t kMaxIncludes = 16;

struct FreeReader {
  void operator()(xmlTextReader* reader) const { xmlFreeTextReader(reader); }
};
struct FreeXml {
  void operator()(xmlChar* text) const { xmlFree(text); }
};
using XmlText = std::unique_ptr<xmlChar, FreeXml>;

std::string text(const xmlChar* from) {
  return from == nullptr ? std::string() : reinterpret_cast<const char*>(from);
}
const xmlChar* xml(const char* from) { return reinterpret_cast<const xmlChar*>(from); }

std::string attribute(const xmlNode* node, const char* name) {
  const XmlText value(xmlGetNoNsProp(node, xml(name)));
  return text(value.get());
}

bool is(const xmlNode* node, const char* name, const char* space) {
  return node->type == XML_ELEMENT_NODE && text(node->name) == name &&
         (space == nullptr || (node->ns != nullptr && text(node->ns->href) == space));
}

const xmlNode* child(const xmlNode* node, const char* name, const char* space = nullptr) {
  for (const xmlNode* at = node == nullptr ? nullptr : node->children; at != nullptr;
       at = at->next) {
    if (is(at, name, space)) return at;
  }
  return nullptr;
}

std::string content(const xmlNode* node) {
  if (node == nullptr) return {};
  const XmlText value(xmlNodeGetContent(node));
  return text(value.get());
}

// Empty if it is none.
std::string from_base64(const std::string& text) {
  std::string bytes(text.size(), '\0');
  size_t size = 0;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), text.data(),
                        text.size(), " \t\r\n", &size, nullptr,
                        sodium_base64_VARIANT_ORIGINAL) != 0) {
    return {};
  }
  bytes.resize(size);
  return bytes;
}

// Is it as long as a key of SCRAM-SHA-1 or SCRAM-SHA-256?
bool is_key(const std::string& bytes) { return bytes.size() == 20 || bytes.size() == 32; }

// An element by itself, with the namespaces that it needs.
std::string whole(xmlNode* node) {
  xmlDoc* doc = xmlNewDoc(xml("1.0"));
  xmlNode* copy = xmlDocCopyNode(node, doc, 1);
  xmlDocSetRootElement(doc, copy);
  xmlReconciliateNs(doc, copy);
  xmlBuffer* buffer = xmlBufferCreate();
  xmlNodeDump(buffer, doc, copy, 0, 0);
  std::string bytes(text(xmlBufferContent(buffer)));
  xmlBufferFree(buffer);
  xmlFreeDoc(doc);
  return bytes;
}

// libxml2's words about what is wrong with a file.
struct Complaint {
  std::string text;
  int line = 0;
};

void complain(void* to, const char* message, xmlParserSeverities /*severity*/,
              xmlTextReaderLocatorPtr locator) {
  auto* complaint = static_cast<Complaint*>(to);
  if (!complaint->text.empty()) return;
  complaint->text = message == nullptr ? "it is no XML" : message;
  while (!complaint->text.empty() && complaint->text.back() == '\n') complaint->text.pop_back();
  complaint->line = xmlTextReaderLocatorLineNumber(locator);
}

struct Input {
  std::shared_ptr<Source> source;
  uint64_t at = 0;
};

int read_input(void* context, char* to, int count) {
  auto* input = static_cast<Input*>(context);
  const uint64_t left = input->source->size() - input->at;
  const auto size = static_cast<size_t>(std::min<uint64_t>(left, static_cast<uint64_t>(count)));
  if (!input->source->read(input->at, to, size).ok()) return -1;
  input->at += size;
  return static_cast<int>(size);
}

// One file that is being read, and what stands around it.
struct Opened {
  std::string name;
  std::unique_ptr<Input> input;
  std::unique_ptr<Complaint> complaint;
  std::unique_ptr<xmlTextReader, FreeReader> reader;
};

class Xep0227Reader final : public ExchangeReader {
 public:
  explicit Xep0227Reader(std::vector<ImportFile> files) : files_(std::move(files)) {}

  Result<bool> next(ExchangeRecord* record) override {
    for (;;) {
      if (!ready_.empty()) {
        *record = std::move(ready_.front());
        ready_.erase(ready_.begin());
        return true;
      }
      if (stack_.empty()) {
        Result<bool> more = open_next();
        if (!more.ok() || !*more) return more;
      }
      step();
    }
  }

 private:
  const ImportFile* find(const std::string& name) const {
    for (const ImportFile& file : files_) {
      if (std::filesystem::path(file.name).lexically_normal() ==
          std::filesystem::path(name).lexically_normal()) {
        return &file;
      }
    }
    return nullptr;
  }

  void open(const ImportFile& file) {
    Opened opened;
    opened.name = file.name;
    opened.input = std::make_unique<Input>(Input{file.source, 0});
    opened.complaint = std::make_unique<Complaint>();
    // No network, no entities from elsewhere, no DTD.
    opened.reader.reset(xmlReaderForIO(read_input, nullptr, opened.input.get(), file.name.c_str(),
                                       nullptr, XML_PARSE_NONET | XML_PARSE_NODICT));
    xmlTextReaderSetErrorHandler(opened.reader.get(), complain, opened.complaint.get());
    stack_.push_back(std::move(opened));
  }

  // The next file that is one by itself: its root says so. Others are there to be included.
  Result<bool> open_next() {
    while (next_file_ < files_.size()) {
      const ImportFile& file = files_[next_file_++];
      if (root_of(file) != "server-data") continue;
      ++documents_;
      open(file);
      return true;
    }
    if (documents_ > 0) return false;
    return Status(IMCTL_INVALID_ARGUMENT,
                  "there is no document of XEP-0227 in it: its root is <server-data "
                  "xmlns='urn:xmpp:pie:0'>");
  }

  static std::string root_of(const ImportFile& file) {
    Input input{file.source, 0};
    Complaint complaint;
    std::unique_ptr<xmlTextReader, FreeReader> reader(
        xmlReaderForIO(read_input, nullptr, &input, file.name.c_str(), nullptr, XML_PARSE_NONET));
    xmlTextReaderSetErrorHandler(reader.get(), complain, &complaint);
    while (xmlTextReaderRead(reader.get()) == 1) {
      if (xmlTextReaderNodeType(reader.get()) == XML_READER_TYPE_ELEMENT) {
        return text(xmlTextReaderConstLocalName(reader.get()));
      }
    }
    return {};
  }

  xmlTextReader* reader() { return stack_.back().reader.get(); }
  Origin here() {
    return {stack_.back().name,
            static_cast<uint64_t>(std::max(0, xmlTextReaderGetParserLineNumber(reader())))};
  }
  void bad(const Origin& origin, const std::string& why) {
    ExchangeRecord record;
    record.origin = origin;
    record.bad = why;
    ready_.push_back(std::move(record));
  }
  std::string get(const char* name) {
    const XmlText value(xmlTextReaderGetAttribute(reader(), xml(name)));
    return text(value.get());
  }

  void step() {
    const int read = skip_ ? xmlTextReaderNext(reader()) : xmlTextReaderRead(reader());
    skip_ = false;
    if (read != 1) {
      if (read < 0) {
        const Complaint& why = *stack_.back().complaint;
        bad({stack_.back().name, static_cast<uint64_t>(std::max(0, why.line))},
            "what follows cannot be read: " + why.text);
        flush_user();
      }
      stack_.pop_back();
      // The element that included it is done with.
      skip_ = !stack_.empty();
      return;
    }
    const int type = xmlTextReaderNodeType(reader());
    const std::string name = text(xmlTextReaderConstLocalName(reader()));
    const std::string space = text(xmlTextReaderConstNamespaceUri(reader()));
    if (type == XML_READER_TYPE_DOCUMENT_TYPE) {
      bad(here(), "it has a document type declaration, which is not read");
      stack_.clear();
      return;
    }
    if (type == XML_READER_TYPE_END_ELEMENT) {
      if (name == "user") end_user();
      if (name == "host") host_.clear();
      if (name == "offline-messages" || name == "archive") in_messages_ = false;
      return;
    }
    if (type != XML_READER_TYPE_ELEMENT) return;
    if (name == "include" && (space == kXInclude || space == kXIncludeOld)) return include();
    if (space == kPie && name == "host") {
      host_ = get("jid");
      if (host_.empty()) bad(here(), "a <host> without `jid`");
    } else if (space == kPie && name == "user") {
      begin_user();
    } else if (name == "scram-credentials") {
      scram();
    } else if (name == "offline-messages" || name == "archive") {
      in_messages_ = xmlTextReaderIsEmptyElement(reader()) == 0;
    } else if (in_messages_ && name == "message") {
      message();
    } else if (in_messages_ && name == "result") {
      archived();
    } else if (space != kPie) {
      skip_ = true;  // vCards, rosters and others that are not kept here
    }
  }

  void include() {
    const std::string href = get("href");
    const std::filesystem::path from = std::filesystem::path(stack_.back().name).parent_path();
    const ImportFile* file = find(from / href);
    // Tars are often made of another folder than the one that the names are of.
    if (file == nullptr) file = find(href);
    skip_ = true;
    if (file == nullptr) {
      return bad(here(),
                 "it includes `" + href + "`, which is not there: import a tar of all files");
    }
    if (stack_.size() >= kMaxIncludes) return bad(here(), "too many files include each other");
    skip_ = false;
    open(*file);
  }

  void begin_user() {
    flush_user();
    const std::string name = get("name");
    user_at_ = here();
    if (name.empty() || host_.empty()) {
      bad(user_at_, name.empty() ? "a <user> without `name`" : "a <user> outside of a <host>");
      mailbox_.clear();
      return;
    }
    mailbox_ = name + "@" + host_;
    user_.emplace();
    user_->set_user(mailbox_);
    user_->set_password(get("password"));
    const XmlText created(xmlTextReaderGetAttributeNs(reader(), xml("created"), xml("urn:imctl")));
    if (created != nullptr) user_->set_created(text(created.get()));
    if (xmlTextReaderIsEmptyElement(reader()) != 0) end_user();
  }

  // What is known of a user is whole when the first message comes, or the end.
  void flush_user() {
    if (!user_) return;
    if (!user_->scram_sha_1().empty() || !user_->scram_sha_256().empty()) user_->clear_password();
    ExchangeRecord record;
    record.origin = user_at_;
    *record.line.mutable_user() = std::move(*user_);
    user_.reset();
    ready_.push_back(std::move(record));
  }
  void end_user() {
    flush_user();
    mailbox_.clear();
  }

  // The element as a whole; nullptr, and it was said why, if that cannot be.
  xmlNode* expand() {
    const Origin origin = here();
    xmlNode* node = xmlTextReaderExpand(reader());
    skip_ = node != nullptr;
    if (node == nullptr) bad(origin, "an element cannot be read");
    return node;
  }

  void scram() {
    const Origin origin = here();
    const std::string mechanism = get("mechanism");
    const xmlNode* node = expand();
    if (node == nullptr || !user_) return;
    std::string parts[] = {content(child(node, "salt")), content(child(node, "stored-key")),
                           content(child(node, "server-key"))};
    // ejabberd writes base64 of base64.
    const std::string inner = from_base64(parts[1]);
    if (is_key(from_base64(inner))) {
      for (std::string& part : parts) part = from_base64(part);
    }
    const std::string line =
        content(child(node, "iter-count")) + "," + parts[0] + "," + parts[1] + "," + parts[2];
    // Prosody's migrator calls all of them SCRAM-SHA-1: their size is what counts.
    const bool known = mechanism == "SCRAM-SHA-1" || mechanism == "SCRAM-SHA-256";
    if (known && from_base64(parts[1]).size() == 32) {
      user_->set_scram_sha_256(line);
    } else if (known) {
      user_->set_scram_sha_1(line);
    } else {
      bad(origin, "the password of " + mailbox_ + " is there as " +
                      (mechanism.empty() ? "parts of SCRAM without `mechanism`" : mechanism) +
                      ", which is not known here");
    }
  }

  void message() {
    const Origin origin = here();
    xmlNode* node = expand();
    if (node == nullptr || mailbox_.empty()) return;
    std::string stamp = attribute(child(node, "delay", "urn:xmpp:delay"), "stamp");
    add(origin, node, stamp, {});
  }

  void archived() {
    const Origin origin = here();
    const std::string id = get("id");
    xmlNode* node = expand();
    if (node == nullptr || mailbox_.empty()) return;
    const xmlNode* forwarded = child(node, "forwarded", "urn:xmpp:forward:0");
    const xmlNode* stanza = child(forwarded, "message");
    if (stanza == nullptr) return bad(origin, "a <result> of an archive without a message");
    add(origin, const_cast<xmlNode*>(stanza),
        attribute(child(forwarded, "delay", "urn:xmpp:delay"), "stamp"), id);
  }

  void add(const Origin& origin, xmlNode* node, const std::string& stamp,
           const std::string& archive_id) {
    flush_user();
    XmppMessage message;
    message.stanza = whole(node);
    message.from = attribute(node, "from");
    message.to = attribute(node, "to");
    message.id = attribute(node, "id");
    if (message.id.empty()) message.id = archive_id;
    message.body = content(child(node, "body"));
    message.subject = content(child(node, "subject"));
    message.stamp = stamp;
    ExchangeRecord record;
    record.origin = origin;
    v1::ExchangeMessage* line = record.line.mutable_message();
    *line->mutable_message() = to_message(message, mailbox_);
    line->add_mailboxes(mailbox_);
    if (!stamp.empty()) {
      const std::optional<google::protobuf::Timestamp> time = parse_time(stamp);
      if (!time) return bad(origin, "the time `" + stamp.substr(0, 40) + "` of a message is none");
      *line->mutable_time() = *time;
    }
    ready_.push_back(std::move(record));
  }

  const std::vector<ImportFile> files_;
  size_t next_file_ = 0;
  size_t documents_ = 0;
  std::vector<Opened> stack_;
  bool skip_ = false;  // what is inside of the element that was read
  std::vector<ExchangeRecord> ready_;
  std::string host_;
  std::string mailbox_;
  std::optional<user::v1::ImportLine> user_;
  Origin user_at_;
  bool in_messages_ = false;
};

}  // namespace

std::unique_ptr<ExchangeReader> xep0227_reader(std::vector<ImportFile> files) {
  return std::make_unique<Xep0227Reader>(std::move(files));
}

}  // namespace imctl::backup
