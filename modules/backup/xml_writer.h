// Writes XEP-0227 (Portable Import/Export Format), version 1.1.
#ifndef IMCTL_BACKUP_XML_WRITER_H
#define IMCTL_BACKUP_XML_WRITER_H

#include <cstdint>
#include <memory>
#include <string>

#include "imctl/storage/v1/mailboxes.pb.h"
#include "imctl/user/v1/users.pb.h"

namespace imctl::backup {

// A stanza <message> for a message in a mailbox; empty: it cannot be one.
std::string to_stanza(const storage::v1::Message& message, const std::string& mailbox);

// One document. What is written goes to a string, which the caller empties.
class XmlWriter {
 public:
  explicit XmlWriter(std::string* out);
  ~XmlWriter();
  XmlWriter(const XmlWriter&) = delete;
  XmlWriter& operator=(const XmlWriter&) = delete;

  void begin();  // <server-data>
  void begin_host(const std::string& host);
  // With a password as the mechanism wants it; empty: all that there are. False: there is none.
  // `ejabberd`: in base64 of base64, and one only.
  bool begin_user(const user::v1::ImportLine& user, const std::string& mechanism, bool ejabberd);
  void begin_offline();
  void begin_archive();
  void offline(const std::string& stanza, const google::protobuf::Timestamp& time,
               const std::string& from);
  void archived(const std::string& stanza, const google::protobuf::Timestamp& time,
                const std::string& id);
  void end();  // of the last that was begun
  void end_all();

 private:
  struct Writer;
  const std::unique_ptr<Writer> writer_;
};

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_XML_WRITER_H
