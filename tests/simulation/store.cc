#include "store.h"

#include <algorithm>
#include <memory>

namespace imctl::simulation {

using router::Code;
using router::Outcome;

namespace {
const Outcome kAway{Code::kUnavailable, "the storage cannot be reached"};
}  // namespace

// The content begins with the id of the message, which takes the place of source and id.
router::Stored Store::commit(const router::Append& call) {
  router::Stored stored;
  const auto [known, fresh] = messages_.try_emplace(*call.payload);
  if (fresh) {
    known->second.time = timeline_.now();
    for (const std::string& recipient : call.recipients) {
      Mailbox& mailbox = mailboxes_[recipient];
      if (mailbox.epoch == 0) mailbox.epoch = ++epochs_;
      mailbox.entries.push_back({mailbox.last() + 1, timeline_.now(), call.payload});
      known->second.positions.push_back({recipient, mailbox.epoch, mailbox.last()});
    }
  }
  stored.duplicate = !fresh;
  stored.time = known->second.time;
  for (const Position& position : known->second.positions) {
    const Mailbox* const mailbox = find(position.mailbox);
    if (mailbox != nullptr && mailbox->epoch == position.epoch)
      stored.positions.push_back(position);
  }
  return stored;
}

void Store::append(const router::Append& call, std::function<void(router::Stored)> done) {
  timeline_.in(delay(), [this, call, done = std::move(done)] {
    router::Stored stored;
    if (fails()) {
      stored.outcome = kAway;
    } else {
      stored = commit(call);
      if (loses()) {
        stored = {};
        stored.outcome = {Code::kDeadlineExceeded, "no answer"};
      }
    }
    timeline_.in(delay(), [done, stored] { done(stored); });
  });
}

void Store::read(const router::StartRead& call, std::function<void(router::Page)> done) {
  timeline_.in(delay(), [this, call, done = std::move(done)] {
    router::Page page;
    if (fails()) {
      page.outcome = kAway;
    } else if (const Mailbox* const mailbox = find(call.mailbox)) {
      page.epoch = mailbox->epoch;
      page.first = mailbox->first;
      page.last = mailbox->last();
      const uint64_t limit = std::min<uint64_t>(std::max<uint32_t>(call.limit, 1), page_limit);
      for (uint64_t i = std::max(call.after + 1, mailbox->first);
           i <= mailbox->last() && page.entries.size() < limit; ++i) {
        page.entries.push_back(mailbox->entries[i - 1]);
      }
    }
    timeline_.in(delay(), [done, page] { done(page); });
  });
}

void Store::cursors(const router::ListCursors& call, std::function<void(router::CursorPage)> done) {
  timeline_.in(delay(), [this, call, done = std::move(done)] {
    router::CursorPage page;
    if (fails()) {
      page.outcome = kAway;
    } else if (const Mailbox* const mailbox = find(call.mailbox)) {
      page.epoch = mailbox->epoch;
      for (const auto& [device, cursor] : mailbox->cursors) page.cursors.push_back(cursor);
    }
    timeline_.in(delay(), [done, page] { done(page); });
  });
}

void Store::ack(const router::MoveCursor& call, std::function<void(router::Outcome)> done) {
  timeline_.in(delay(), [this, call, done = std::move(done)] {
    Outcome outcome;
    Mailbox* const mailbox =
        mailboxes_.count(call.mailbox) == 0 ? nullptr : &mailboxes_[call.mailbox];
    if (fails()) {
      outcome = kAway;
    } else if (mailbox == nullptr || (call.epoch != 0 && call.epoch != mailbox->epoch)) {
      outcome = {Code::kFailedPrecondition, "another epoch"};
    } else if (call.sequence > mailbox->last()) {
      outcome = {Code::kOutOfRange, "the mailbox does not reach that far"};
    } else {
      on_move(call);
      router::CursorEntry& cursor = mailbox->cursors[call.device];
      cursor.device = call.device;
      if (call.sequence > cursor.sequence || cursor.time == 0) cursor.time = timeline_.now();
      cursor.sequence = std::max(cursor.sequence, call.sequence);
      if (loses()) outcome = {Code::kDeadlineExceeded, "no answer"};
    }
    timeline_.in(delay(), [done, outcome] { done(outcome); });
  });
}

void Store::drop(const router::DropCursor& call) {
  const auto mailbox = mailboxes_.find(call.mailbox);
  if (mailbox != mailboxes_.end()) mailbox->second.cursors.erase(call.device);
}

void Store::expire(const std::string& mailbox, uint64_t first) {
  const auto found = mailboxes_.find(mailbox);
  if (found == mailboxes_.end()) return;
  found->second.first = std::max(found->second.first, std::min(first, found->second.last() + 1));
}

void Store::remove(const std::string& mailbox) { mailboxes_.erase(mailbox); }

Payload Store::at(const std::string& mailbox, uint64_t epoch, uint64_t sequence) const {
  const Mailbox* const found = find(mailbox);
  if (found == nullptr || found->epoch != epoch || sequence < 1 || sequence > found->last()) {
    return nullptr;
  }
  return found->entries[sequence - 1].payload;
}

}  // namespace imctl::simulation
