#include "xml_writer.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xmlIO.h>
#include <libxml/xmlwriter.h>
#include <sodium.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "time_text.h"
#include "xmpp_message.h"

namespace imctl::backup {
namespace {

constexpr char kDelay[] = "urn:xmpp:delay";

const xmlChar* xml(const std::string& from) {
  return reinterpret_cast<const xmlChar*>(from.c_str());
}

int append(void* to, const char* bytes, int size) {
  static_cast<std::string*>(to)->append(bytes, static_cast<size_t>(size));
  return size;
}

struct FreeTextWriter {
  void operator()(xmlTextWriter* writer) const { xmlFreeTextWriter(writer); }
};
using TextWriter = std::unique_ptr<xmlTextWriter, FreeTextWriter>;

TextWriter writer_to(std::string* out) {
  return TextWriter(xmlNewTextWriter(xmlOutputBufferCreateIO(append, nullptr, out, nullptr)));
}

// May the text stand in XML at all?
bool fits(const std::string& text) {
  if (xmlCheckUTF8(xml(text)) == 0 || text.find('\0') != std::string::npos) return false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 && c != '\t' && c != '\n' && c != '\r') return false;
  }
  return true;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back().push_back(c);
    }
  }
  return parts;
}

std::string to_base64(const std::string& bytes) {
  constexpr int kVariant = sodium_base64_VARIANT_ORIGINAL;
  std::string text(sodium_base64_encoded_len(bytes.size(), kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), kVariant);
  text.pop_back();  // the NUL
  return text;
}

struct FreeDoc {
  void operator()(xmlDoc* doc) const { xmlFreeDoc(doc); }
};

// What servers that import it want of a message that is kept for a user: who it is from, and when
// it came.
std::string completed(const std::string& stanza, const google::protobuf::Timestamp& time,
                      const std::string& from) {
  std::unique_ptr<xmlDoc, FreeDoc> doc(
      xmlReadMemory(stanza.data(), static_cast<int>(stanza.size()), "stanza", nullptr,
                    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING));
  if (doc == nullptr) return stanza;
  xmlNode* message = xmlDocGetRootElement(doc.get());
  if (xmlHasProp(message, xml("from")) == nullptr) xmlNewProp(message, xml("from"), xml(from));
  bool delayed = false;
  for (const xmlNode* at = message->children; at != nullptr; at = at->next) {
    delayed = delayed || (at->type == XML_ELEMENT_NODE && at->ns != nullptr &&
                          xmlStrEqual(at->ns->href, xml(kDelay)) != 0);
  }
  if (!delayed) {
    xmlNode* delay = xmlNewChild(message, nullptr, xml("delay"), nullptr);
    xmlSetNs(delay, xmlNewNs(delay, xml(kDelay), nullptr));
    xmlNewProp(delay, xml("stamp"), xml(format_time(time)));
  }
  xmlBuffer* buffer = xmlBufferCreate();
  xmlNodeDump(buffer, doc.get(), message, 0, 0);
  std::string bytes(reinterpret_cast<const char*>(xmlBufferContent(buffer)));
  xmlBufferFree(buffer);
  return bytes;
}

}  // namespace

std::string to_stanza(const storage::v1::Message& message, const std::string& mailbox) {
  const pb::CloudEvent& event = message.event();
  if (auto stanza = event.attributes().find(kStanza); stanza != event.attributes().end()) {
    return stanza->second.ce_string();
  }
  for (const std::string* text : {&event.text_data(), &message.from(), &event.id(), &mailbox}) {
    if (!fits(*text)) return {};
  }
  if (!event.has_text_data()) return {};
  std::string bytes;
  {
    TextWriter writer = writer_to(&bytes);
    xmlTextWriterStartElement(writer.get(), xml("message"));
    xmlTextWriterWriteAttribute(writer.get(), xml("xmlns"), xml("jabber:client"));
    if (!message.from().empty()) {
      xmlTextWriterWriteAttribute(writer.get(), xml("from"), xml(message.from()));
    }
    xmlTextWriterWriteAttribute(writer.get(), xml("to"), xml(mailbox));
    xmlTextWriterWriteAttribute(writer.get(), xml("id"), xml(event.id()));
    xmlTextWriterWriteAttribute(writer.get(), xml("type"), xml("chat"));
    auto subject = event.attributes().find("subject");
    if (subject != event.attributes().end() && fits(subject->second.ce_string())) {
      xmlTextWriterWriteElement(writer.get(), xml("subject"), xml(subject->second.ce_string()));
    }
    xmlTextWriterWriteElement(writer.get(), xml("body"), xml(event.text_data()));
    xmlTextWriterEndElement(writer.get());
  }
  return bytes;
}

struct XmlWriter::Writer {
  TextWriter raw;
  int open = 0;

  void start(const std::string& name) {
    xmlTextWriterStartElement(raw.get(), xml(name));
    ++open;
  }
  void attribute(const std::string& name, const std::string& value) {
    xmlTextWriterWriteAttribute(raw.get(), xml(name), xml(value));
  }
  void element(const std::string& name, const std::string& value) {
    xmlTextWriterWriteElement(raw.get(), xml(name), xml(value));
  }
  void end() {
    xmlTextWriterEndElement(raw.get());
    --open;
  }
};

XmlWriter::XmlWriter(std::string* out) : writer_(std::make_unique<Writer>()) {
  writer_->raw = writer_to(out);
}

XmlWriter::~XmlWriter() = default;

void XmlWriter::begin() {
  xmlTextWriterStartDocument(writer_->raw.get(), nullptr, "UTF-8", nullptr);
  writer_->start("server-data");
  writer_->attribute("xmlns", "urn:xmpp:pie:0");
}

void XmlWriter::begin_host(const std::string& host) {
  writer_->start("host");
  writer_->attribute("jid", host);
}

bool XmlWriter::begin_user(const user::v1::ImportLine& user, const std::string& mechanism,
                           bool ejabberd) {
  const std::string& address = user.user();
  writer_->start("user");
  writer_->attribute("name", address.substr(0, address.find('@')));
  if (!user.created().empty()) {
    writer_->attribute("xmlns:imctl", "urn:imctl");
    writer_->attribute("imctl:created", user.created());
  }
  bool any = false;
  const std::pair<const char*, const std::string*> all[] = {
      {"SCRAM-SHA-1", &user.scram_sha_1()}, {"SCRAM-SHA-256", &user.scram_sha_256()}};
  for (const auto& [name, text] : all) {
    if (text->empty() || (!mechanism.empty() && mechanism != name)) continue;
    std::vector<std::string> parts = split(*text);
    if (parts.size() != 4 || (ejabberd && any)) continue;
    for (size_t i = 1; ejabberd && i < parts.size(); ++i) parts[i] = to_base64(parts[i]);
    writer_->start("scram-credentials");
    writer_->attribute("xmlns", "urn:xmpp:pie:0#scram");
    writer_->attribute("mechanism", name);
    writer_->element("iter-count", parts[0]);
    writer_->element("salt", parts[1]);
    writer_->element("server-key", parts[3]);
    writer_->element("stored-key", parts[2]);
    writer_->end();
    any = true;
  }
  return any;
}

void XmlWriter::begin_offline() { writer_->start("offline-messages"); }

void XmlWriter::begin_archive() {
  writer_->start("archive");
  writer_->attribute("xmlns", "urn:xmpp:pie:0#mam");
}

void XmlWriter::offline(const std::string& stanza, const google::protobuf::Timestamp& time,
                        const std::string& from) {
  xmlTextWriterWriteRaw(writer_->raw.get(), xml(completed(stanza, time, from)));
}

void XmlWriter::archived(const std::string& stanza, const google::protobuf::Timestamp& time,
                         const std::string& id) {
  writer_->start("result");
  writer_->attribute("xmlns", "urn:xmpp:mam:2");
  writer_->attribute("id", id);
  writer_->start("forwarded");
  writer_->attribute("xmlns", "urn:xmpp:forward:0");
  writer_->start("delay");
  writer_->attribute("xmlns", kDelay);
  writer_->attribute("stamp", format_time(time));
  writer_->end();
  xmlTextWriterWriteRaw(writer_->raw.get(), xml(stanza));
  writer_->end();
  writer_->end();
}

void XmlWriter::end() {
  writer_->end();
  xmlTextWriterFlush(writer_->raw.get());
}

void XmlWriter::end_all() {
  while (writer_->open > 0) writer_->end();
  xmlTextWriterEndDocument(writer_->raw.get());
  xmlTextWriterFlush(writer_->raw.get());
}

}  // namespace imctl::backup
