// Mailboxes: a message is stored once, as a row of `deliveries`; `entries` say where it stands in
// which mailbox.
//
// Who gives numbers in a mailbox locks its row until the commit, those of several mailboxes in the
// order of their names. A delivery's own number, n, is taken after that; so within a mailbox n
// grows with the sequence, and what expires goes by n.
#ifndef IMCTL_STORAGE_POSTGRESQL_MAILBOXES_H
#define IMCTL_STORAGE_POSTGRESQL_MAILBOXES_H

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transaction.h"

namespace imctl::storage {

void append_messages(Transaction* txn, std::span<AppendMessage* const> works);
void ack_mailboxes(Transaction* txn, std::span<AckMailbox* const> works);
void delete_cursor(Transaction* txn, DeleteCursor* work);
void delete_mailbox(Transaction* txn, DeleteMailbox* work);
void clean_mailboxes(Transaction* txn, CleanMailboxes* work);
// A part of the entries of mailboxes whose removal was cut off; false: there are none.
bool go_on_removing(Transaction* txn);

MailboxPage read_mailbox(Connection* db, std::string_view mailbox, uint64_t after, size_t limit,
                         size_t max_bytes);
Cursors read_cursors(Connection* db, std::string_view mailbox);
std::vector<MailboxState> list_mailboxes(Connection* db, std::string_view prefix,
                                         std::string_view after, size_t limit);

// The first text after all that begin with `prefix`. No text contains the byte 0xFF.
std::string after_prefix(std::string_view prefix);

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_MAILBOXES_H
