// What all back ends share, without a host and without a back end: messages, dumps that come in,
// the writer.
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "load_checker.h"
#include "settings.h"
#include "test_parts.h"
#include "wire.h"
#include "writer.h"

namespace imctl::storage {
namespace {

// ---- messages

TEST(Message, NamesWhatIsMissing) {
  EXPECT_EQ(missing_field(event("a")), "");
  auto e = event("a");
  e.clear_type();
  EXPECT_EQ(missing_field(e), "type");
}

TEST(Message, LongIdsAreCutBetweenCharacters) {
  std::string id(63, 'x');
  EXPECT_EQ(describe(0, id + "\xC3\xA4\xC3\xA4"), "msgs[0] (id \"" + id + "...\")");
}

TEST(Message, TheSameInAnotherOrder) {
  auto a = event("a");
  auto b = event("a");
  for (int i = 0; i < 20; ++i) (*a.mutable_attributes())["k" + std::to_string(i)].set_ce_integer(i);
  for (int i = 19; i >= 0; --i) {
    (*b.mutable_attributes())["k" + std::to_string(i)].set_ce_integer(i);
  }
  const std::string bytes = a.SerializeAsString();
  EXPECT_TRUE(same_message(bytes, b.SerializeAsString()));
  EXPECT_FALSE(same_message(bytes, event("a").SerializeAsString()));
  EXPECT_FALSE(same_message(bytes, bytes + std::string("\xFA\x01\x02hi", 5)));  // unknown field
}

TEST(Message, ParsingRefusesBadUtf8Everywhere) {
  const std::string bad = "\xFF";
  auto parses = [](const std::string& bytes) { return pb::CloudEvent().ParseFromString(bytes); };
  EXPECT_FALSE(parses("\x0A\x01" + bad));                  // id
  EXPECT_FALSE(parses("\x3A\x01" + bad));                  // text_data
  EXPECT_FALSE(parses("\x2A\x03\x0A\x01" + bad));          // an attribute's name
  EXPECT_FALSE(parses("\x2A\x05\x12\x03\x1A\x01" + bad));  // an attribute's ce_string
}

TEST(Wire, FindsFieldsAndRefusesWhatIsCutOff) {
  std::string bytes;
  wire::append_bytes(&bytes, 1, "one");
  wire::append_bytes(&bytes, 300, std::string(200, 'x'));
  std::vector<std::pair<int, size_t>> found;
  auto note = [&](int field, std::string_view text) {
    found.emplace_back(field, text.size());
    return true;
  };
  EXPECT_TRUE(wire::for_each_bytes(bytes, note));
  EXPECT_EQ(found, (std::vector<std::pair<int, size_t>>{{1, 3}, {300, 200}}));
  for (size_t size = 1; size < bytes.size(); ++size) {
    if (size == 5) continue;  // exactly the first field
    EXPECT_FALSE(wire::for_each_bytes(bytes.substr(0, size), note)) << size;
  }
}

// ---- settings

TEST(Settings, Grants) {
  CommonSettings settings;
  settings.max_reply = 1 << 20;
  EXPECT_TRUE(finish_settings({"backup=user/users", "monitor=user/*"}, &settings).ok());
  EXPECT_EQ(settings.grants.size(), 2U);
  for (const char* bad : {"", "backup", "=user/users", "backup=users", "backup=/users",
                          "backup=user/", "backup=user/a/b"}) {
    EXPECT_EQ(finish_settings({bad}, &settings).code(), IMCTL_INVALID_ARGUMENT) << bad;
  }
  settings.max_message = settings.max_reply;
  EXPECT_EQ(finish_settings({}, &settings).code(), IMCTL_INVALID_ARGUMENT);
}

// ---- dumps that come in

v1::SnapshotChunk begin(bool keep = false) {
  v1::SnapshotChunk chunk;
  chunk.add_items()->mutable_begin()->set_format(1);
  chunk.mutable_items(0)->mutable_begin()->set_keep_epochs(keep);
  return chunk;
}

TEST(Load, EpochsAreNewAndTheSameStayTheSame) {
  LoadChecker checker;
  v1::SnapshotChunk chunk = begin();
  chunk.add_items()->mutable_mailbox()->mutable_state()->set_epoch(7);
  chunk.add_items()->mutable_delivery()->add_positions()->set_epoch(7);
  chunk.add_items()->mutable_collection()->set_revision(5);
  ASSERT_TRUE(checker.next(&chunk).ok());
  const uint64_t epoch = chunk.items(1).mailbox().state().epoch();
  EXPECT_GT(epoch, 7U);
  EXPECT_EQ(chunk.items(2).delivery().positions(0).epoch(), epoch);
  EXPECT_GT(chunk.items(3).collection().revision(), 5U);

  LoadChecker keeping;
  chunk = begin(true);
  chunk.add_items()->mutable_mailbox()->mutable_state()->set_epoch(7);
  ASSERT_TRUE(keeping.next(&chunk).ok());
  EXPECT_EQ(chunk.items(1).mailbox().state().epoch(), 7U);
}

TEST(Load, RefusesWhatIsNoDump) {
  v1::SnapshotChunk chunk;
  chunk.add_items()->mutable_end();
  EXPECT_EQ(LoadChecker().next(&chunk).code(), IMCTL_INVALID_ARGUMENT);
  chunk = begin();
  chunk.mutable_items(0)->mutable_begin()->set_format(2);
  EXPECT_EQ(LoadChecker().next(&chunk).code(), IMCTL_INVALID_ARGUMENT);
  chunk = begin();
  chunk.add_items()->mutable_record();
  chunk.add_items()->mutable_message();
  EXPECT_EQ(LoadChecker().next(&chunk).code(), IMCTL_INVALID_ARGUMENT);
  chunk = begin();
  chunk.add_items()->mutable_end()->set_records(1);
  EXPECT_EQ(LoadChecker().next(&chunk).code(), IMCTL_DATA_LOSS);
}

// ---- the writer

// Commits by asking the test.
class FakeEngine final : public Engine {
 public:
  std::function<Status(std::span<Write* const>)> on_commit;
  bool is_loading = false;

  Status commit(std::span<Write* const> writes) override { return on_commit(writes); }
  bool replacing() override { return false; }
  bool loading() override { return is_loading; }
  Status get_messages(std::span<const std::string_view>, const Found&) override { return {}; }
  Result<MailboxPage> read_mailbox(std::string_view, uint64_t, size_t, size_t) override {
    return MailboxPage();
  }
  Result<Cursors> cursors(std::string_view) override { return Cursors(); }
  Result<std::vector<MailboxState>> list_mailboxes(std::string_view, std::string_view,
                                                   size_t) override {
    return std::vector<MailboxState>();
  }
  Result<std::optional<RecordRow>> get_record(std::string_view, std::string_view) override {
    return std::optional<RecordRow>();
  }
  Result<RecordPage> list_records(const RecordQuery&) override { return RecordPage(); }
  Result<ChangePage> changes(std::string_view, uint64_t, size_t, size_t) override {
    return ChangePage();
  }
  Result<std::vector<CollectionState>> collections() override {
    return std::vector<CollectionState>();
  }
  Result<std::unique_ptr<SnapshotReader>> dump() override {
    return Status(IMCTL_UNIMPLEMENTED, "");
  }
};

class WriterTest : public testing::Test {
 protected:
  // Holds the writer's thread in its first commit until released, so that what is submitted
  // meanwhile is one group.
  void hold() {
    std::promise<void> entered;
    auto in = entered.get_future();
    bool first = true;
    auto then = std::move(engine_.on_commit);
    engine_.on_commit = [this, &entered, first, then](std::span<Write* const> writes) mutable {
      if (std::exchange(first, false)) {
        entered.set_value();
        released_.get_future().wait();
        return Status();
      }
      return then(writes);
    };
    writer_.emplace(&engine_, &watchers_, max_bytes_, WriterMetrics(), std::chrono::hours(1),
                    [] {});
    gate_ = submit(DeleteCursor());
    in.wait();
  }
  void release() {
    released_.set_value();
    EXPECT_TRUE(gate_.get().ok());
  }

  template <class Work>
  std::future<Status> submit(Work work) {
    auto promise = std::make_shared<std::promise<Status>>();
    writer_->submit(std::move(work), [promise](const Status& status, const Work&, uint64_t) {
      promise->set_value(status);
    });
    return promise->get_future();
  }

  static DeleteMessages deletion(const std::string& id) {
    DeleteMessages work;
    work.ids.push_back(id);
    return work;
  }

  FakeEngine engine_;
  Watchers watchers_;
  size_t max_bytes_ = 1 << 20;
  std::optional<Writer> writer_;
  std::promise<void> released_;
  std::future<Status> gate_;
};

TEST_F(WriterTest, OneBadWriteDoesNotFailItsNeighbours) {
  std::vector<size_t> groups;
  engine_.on_commit = [&](std::span<Write* const> writes) {
    groups.push_back(writes.size());
    for (const Write* write : writes) {
      if (std::get<DeleteMessages>(*write).ids[0] == "bad") {
        return Status(IMCTL_RESOURCE_EXHAUSTED, "no space");
      }
    }
    return Status();
  };
  hold();
  auto before = submit(deletion("a"));
  auto bad = submit(deletion("bad"));
  auto after = submit(deletion("b"));
  release();
  EXPECT_TRUE(before.get().ok());
  EXPECT_EQ(bad.get().code(), IMCTL_RESOURCE_EXHAUSTED);
  EXPECT_TRUE(after.get().ok());
  EXPECT_EQ(groups, (std::vector<size_t>{3, 1, 1, 1}));
}

TEST_F(WriterTest, WhatIsWrongWithTheStoreIsAskedOnce) {
  int commits = 0;
  engine_.on_commit = [&](std::span<Write* const>) {
    ++commits;
    return Status(IMCTL_UNAVAILABLE, "gone");
  };
  hold();
  auto one = submit(deletion("a"));
  auto other = submit(deletion("b"));
  release();
  EXPECT_EQ(one.get().code(), IMCTL_UNAVAILABLE);
  EXPECT_EQ(other.get().code(), IMCTL_UNAVAILABLE);
  EXPECT_EQ(commits, 1);
}

TEST_F(WriterTest, QueueIsBounded) {
  max_bytes_ = 4000;
  engine_.on_commit = [](std::span<Write* const>) { return Status(); };
  hold();
  auto first = submit(deletion(std::string(2000, 'x')));
  auto second = submit(deletion(std::string(2000, 'x')));
  EXPECT_EQ(second.get().code(), IMCTL_RESOURCE_EXHAUSTED);
  release();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(submit(deletion(std::string(9000, 'x'))).get().ok());
}

TEST_F(WriterTest, ALoadIsCommittedAloneAndKeepsOthersOut) {
  std::vector<size_t> groups;
  engine_.on_commit = [&](std::span<Write* const> writes) {
    groups.push_back(writes.size());
    if (std::holds_alternative<LoadSnapshot>(*writes[0])) engine_.is_loading = true;
    return Status();
  };
  hold();
  auto before = submit(deletion("a"));
  auto load = submit(LoadSnapshot());
  auto after = submit(deletion("b"));
  release();
  EXPECT_TRUE(before.get().ok());
  EXPECT_TRUE(load.get().ok());
  EXPECT_EQ(after.get().code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_EQ(groups, (std::vector<size_t>{1, 1}));
}

TEST_F(WriterTest, PartsLetOthersInBetween) {
  std::vector<std::string> order;
  engine_.on_commit = [&](std::span<Write* const> writes) {
    for (Write* write : writes) {
      if (auto* clean = std::get_if<CleanMessages>(write)) {
        order.emplace_back("part");
        clean->removed = 10;
        clean->more = order.size() < 4;
      } else {
        order.emplace_back("other");
      }
    }
    return Status();
  };
  hold();
  std::promise<uint64_t> cleaned;
  writer_->submit(CleanMessages(), [&](const Status&, const CleanMessages&, uint64_t removed) {
    cleaned.set_value(removed);
  });
  auto other = submit(deletion("a"));
  release();
  EXPECT_TRUE(other.get().ok());
  EXPECT_EQ(cleaned.get_future().get(), 30U);
  EXPECT_EQ(order, (std::vector<std::string>{"part", "other", "part", "part"}));
}

}  // namespace
}  // namespace imctl::storage
