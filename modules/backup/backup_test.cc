// The file format, chains of files, and what decides about them: without a host.
#include <gtest/gtest.h>
#include <sodium.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>

#include "api/grpc/cloudevents/cloudevent.pb.h"
#include "chain.h"
#include "disk.h"
#include "file_writer.h"
#include "folder.h"
#include "keep.h"
#include "records.h"
#include "schedule.h"
#include "selection.h"
#include "time_text.h"

namespace imctl::backup {
namespace {

using storage::v1::SnapshotItem;

class Environment : public testing::Environment {
 public:
  void SetUp() override { ASSERT_GE(sodium_init(), 0); }
};
[[maybe_unused]] const auto* const kEnvironment =
    testing::AddGlobalTestEnvironment(new Environment);

SnapshotItem message(int n) {
  pb::CloudEvent event;
  event.set_id("m" + std::to_string(n));
  event.set_text_data(std::string(static_cast<size_t>(n % 1000), static_cast<char>('a' + n % 26)));
  SnapshotItem item;
  item.mutable_message()->set_event(event.SerializeAsString());
  item.mutable_message()->mutable_time()->set_seconds(1000 + n);
  return item;
}

// A dump of messages [from, to) and a record.
std::string dump(int from, int to, const std::string& value = "value") {
  std::string chunk;
  SnapshotItem begin;
  begin.mutable_begin()->set_format(1);
  append_record(begin.SerializeAsString(), &chunk);
  for (int n = from; n < to; ++n) append_record(message(n).SerializeAsString(), &chunk);
  SnapshotItem collection;
  collection.mutable_collection()->set_collection("user/users");
  append_record(collection.SerializeAsString(), &chunk);
  SnapshotItem record;
  record.mutable_record()->set_collection("user/users");
  record.mutable_record()->mutable_record()->set_key("k");
  record.mutable_record()->mutable_record()->set_value(value);
  append_record(record.SerializeAsString(), &chunk);
  SnapshotItem end;
  end.mutable_end()->set_messages(static_cast<uint64_t>(to - from));
  end.mutable_end()->set_collections(1);
  end.mutable_end()->set_records(1);
  append_record(end.SerializeAsString(), &chunk);
  return chunk;
}

struct Made {
  std::string bytes;
  std::string id;
  std::string hash;
  std::unordered_set<std::string> digests;
  v1::FileTrailer trailer;
};

Made make(const std::string& content, const Made* parent = nullptr,
          const std::string& public_key = {}) {
  Made made;
  v1::FileHeader header;
  header.set_imctl_version("test");
  FileWriter::Options options;
  constexpr size_t kBlock = size_t{256} << 10U;
  options.sizes = {.least = kBlock, .about = kBlock, .most = 4 * kBlock};
  options.public_key = public_key;
  if (parent != nullptr) {
    header.set_parent(parent->id);
    header.set_parent_hash(parent->hash);
    options.known = parent->digests;
  }
  FileWriter writer(header, options, &made.bytes);
  v1::SavedSetting setting;
  setting.set_key("host.domain");
  EXPECT_TRUE(writer.add(v1::BLOCK_KIND_SETTINGS, setting).ok());
  EXPECT_TRUE(writer.add_dump(content).ok());
  EXPECT_TRUE(writer.dump_ended().ok());
  EXPECT_TRUE(writer.finish().ok());
  EXPECT_EQ(writer.file_size(), made.bytes.size());
  made.id = writer.header().id();
  made.hash = writer.hash();
  made.trailer = writer.trailer();
  for (const v1::IndexedBlock& block : writer.index().blocks()) made.digests.insert(block.digest());
  if (parent != nullptr) made.digests.insert(parent->digests.begin(), parent->digests.end());
  return made;
}

using Files = std::map<std::string, std::string>;

Result<std::unique_ptr<Chain>> open(const Files& files, const std::string& top,
                                    const std::string& key = {}) {
  const Chain::Find find = [files](const std::string& id) -> Result<std::unique_ptr<FileReader>> {
    auto found = files.find(id);
    if (found == files.end()) return Status(IMCTL_NOT_FOUND, "there is none");
    return FileReader::open(memory_source(found->second), id.substr(0, 4));
  };
  Result<std::unique_ptr<FileReader>> file = find(top);
  if (!file.ok()) return file.status();
  return Chain::open(std::move(*file), find, key);
}

// What is in a chain of the storage, if all of it is good.
Result<std::string> content(const Files& files, const std::string& top,
                            const std::string& key = {}) {
  Result<std::unique_ptr<Chain>> chain = open(files, top, key);
  if (!chain.ok()) return chain.status();
  if (Status status = (*chain)->check(); !status.ok()) return status;
  if ((*chain)->locked()) return Status(IMCTL_UNAUTHENTICATED, "locked");
  if (Status status = (*chain)->rewind(); !status.ok()) return status;
  std::string all;
  for (;;) {
    Result<std::optional<ReadBlock>> block = (*chain)->next();
    if (!block.ok()) return block.status();
    if (!*block) return all;
    if ((*block)->kind == v1::BLOCK_KIND_STORAGE) all += *(*block)->bytes;
  }
}

// A dump without its begin and end.
std::string inside(const std::string& chunk) {
  std::string all;
  EXPECT_TRUE(for_each_record(chunk, [&](std::string_view whole, std::string_view record) {
                const auto kind = kind_of(record);
                if (kind != SnapshotItem::kBegin && kind != SnapshotItem::kEnd) all += whole;
                return Status();
              }).ok());
  return all;
}

TEST(BackupFile, GivesWhatWasWritten) {
  const std::string chunk = dump(0, 20'000);
  const Made made = make(chunk);
  EXPECT_LT(made.bytes.size(), chunk.size() / 4);
  EXPECT_GT(made.trailer.blocks(), 4U);
  Result<std::string> read = content({{made.id, made.bytes}}, made.id);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, inside(chunk));
}

TEST(BackupFile, OfAnEmptyStorage) {
  std::string chunk;
  SnapshotItem item;
  item.mutable_begin()->set_format(1);
  append_record(item.SerializeAsString(), &chunk);
  item.mutable_end();
  append_record(item.SerializeAsString(), &chunk);
  const Made made = make(chunk);
  Result<std::string> read = content({{made.id, made.bytes}}, made.id);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, "");
}

// Every bit of every byte, and every length, of files of each kind.
TEST(BackupFile, NoDamageGoesUnnoticed) {
  const KeyPair pair = new_key_pair();
  const Made plain = make(dump(0, 5));
  const Made child = make(dump(0, 6, "other"), &plain);
  const Made sealed = make(dump(0, 5), nullptr, pair.public_key);
  const auto damaged = [&](const Made& made, Files files, const std::string& key) {
    ASSERT_TRUE(content(files, made.id, key).ok());
    const std::string good = made.bytes;
    std::string& bytes = files[made.id];
    for (size_t at = 0; at < good.size(); ++at) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        bytes = good;
        bytes[at] = static_cast<char>(static_cast<unsigned char>(good[at]) ^ (1U << bit));
        EXPECT_FALSE(content(files, made.id, key).ok()) << "byte " << at << " bit " << bit;
      }
      bytes = good.substr(0, at);
      EXPECT_FALSE(content(files, made.id, key).ok()) << "cut at " << at;
    }
    bytes = good + '\0';
    EXPECT_FALSE(content(files, made.id, key).ok());
  };
  damaged(plain, {{plain.id, plain.bytes}}, {});
  damaged(sealed, {{sealed.id, sealed.bytes}}, pair.secret_key);
  damaged(child, {{plain.id, plain.bytes}, {child.id, child.bytes}}, {});
  // Damage of what it stands on is damage of it.
  Files files = {{plain.id, plain.bytes}, {child.id, child.bytes}};
  for (size_t at = 0; at < plain.bytes.size(); ++at) {
    files[plain.id] = plain.bytes;
    files[plain.id][at] = static_cast<char>(plain.bytes[at] ^ 1);
    EXPECT_FALSE(content(files, child.id).ok()) << "byte " << at;
  }
}

TEST(BackupFile, AnotherFormatIsRefusedInWords) {
  Made made = make(dump(0, 1));
  v1::FileHeader header;
  header.set_format(2);
  header.set_imctl_version("9.9");
  std::string bytes;
  FrameWriter frames(&bytes);
  frames.add(FrameType::kHeader, header.SerializeAsString(), &bytes);
  Result<std::unique_ptr<FileReader>> file = FileReader::open(memory_source(bytes), "x");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.status().code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(file.status().message().find("9.9"), std::string::npos);
}

TEST(Chain, HoldsOnlyWhatIsNew) {
  const std::string first = dump(0, 20'000);
  // Some go from the front, some come at the end, a record changes.
  const std::string second = dump(50, 20'100, "changed");
  const std::string third = dump(100, 20'200, "changed");
  const Made whole = make(first);
  const Made child = make(second, &whole);
  const Made grandchild = make(third, &child);
  EXPECT_LT(child.bytes.size(), whole.bytes.size() / 3);
  const Files files = {
      {whole.id, whole.bytes}, {child.id, child.bytes}, {grandchild.id, grandchild.bytes}};
  const std::pair<const Made*, std::string> wanted[] = {
      {&whole, first}, {&child, second}, {&grandchild, third}};
  for (const auto& [made, chunk] : wanted) {
    Result<std::string> read = content(files, made->id);
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(*read, inside(chunk));
  }
}

TEST(Chain, NeedsAllOfIt) {
  const Made whole = make(dump(0, 3000));
  const Made child = make(dump(0, 3001), &whole);
  Result<std::string> read = content({{child.id, child.bytes}}, child.id);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.status().code(), IMCTL_FAILED_PRECONDITION);
  EXPECT_NE(read.status().message().find(whole.id), std::string::npos);
  // Another file under the same id is not taken for it.
  const Made other = make(dump(0, 3000, "other"));
  read = content({{child.id, child.bytes}, {whole.id, other.bytes}}, child.id);
  EXPECT_FALSE(read.ok());
}

TEST(Encryption, OnlyTheSecretKeyReads) {
  const KeyPair pair = new_key_pair();
  const Made made = make(dump(0, 100, "a secret value"), nullptr, pair.public_key);
  EXPECT_EQ(made.bytes.find("a secret value"), std::string::npos);
  EXPECT_EQ(made.bytes.find("user/users"), std::string::npos);
  const Files files = {{made.id, made.bytes}};
  Result<std::string> read = content(files, made.id, pair.secret_key);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, inside(dump(0, 100, "a secret value")));
  EXPECT_EQ(content(files, made.id, new_key_pair().secret_key).status().code(),
            IMCTL_UNAUTHENTICATED);
  // Without it the hashes can be checked.
  Result<std::unique_ptr<Chain>> chain = open(files, made.id);
  ASSERT_TRUE(chain.ok());
  EXPECT_TRUE((*chain)->check().ok());
  EXPECT_TRUE((*chain)->locked());
  Result<std::string> key = read_key(key_file(pair));
  ASSERT_TRUE(key.ok());
  EXPECT_EQ(*key, pair.secret_key);
  EXPECT_FALSE(read_key("no key").ok());
}

TEST(Encryption, OfAChain) {
  const KeyPair pair = new_key_pair();
  const Made whole = make(dump(0, 5000), nullptr, pair.public_key);
  const Made child = make(dump(0, 5100), &whole, pair.public_key);
  EXPECT_LT(child.bytes.size(), whole.bytes.size() / 2);
  Result<std::string> read =
      content({{whole.id, whole.bytes}, {child.id, child.bytes}}, child.id, pair.secret_key);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(*read, inside(dump(0, 5100)));
}

// What the first release wrote has to be read for ever: this file is not to be made anew.
TEST(FirstRelease, IsRead) {
  const std::string folder = IMCTL_BACKUP_TEST_DATA;
  for (const char* name : {"format-1.imctl", "format-1-encrypted.imctl"}) {
    Result<std::shared_ptr<Source>> source = open_file(folder + "/" + name);
    ASSERT_TRUE(source.ok()) << source.status().message();
    Result<std::unique_ptr<FileReader>> file = FileReader::open(*source, name);
    ASSERT_TRUE(file.ok()) << file.status().message();
    Result<std::string> key = read_key(*read_small(folder + "/format-1.key"));
    ASSERT_TRUE(key.ok());
    Result<std::unique_ptr<Chain>> chain = Chain::open(
        std::move(*file), [](const std::string&) { return Status(IMCTL_NOT_FOUND, ""); }, *key);
    ASSERT_TRUE(chain.ok());
    Status status = (*chain)->check();
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ((*chain)->top().trailer().stored().messages(), 3U);
    EXPECT_EQ((*chain)->top().trailer().stored().deliveries(), 2U);
  }
}

TEST(Records, AreTakenApartOrRefused) {
  for (const char* bad : {"\x0B", "\x0A",
                          "\x0A\x05"
                          "abc",
                          "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF"}) {
    EXPECT_FALSE(
        for_each_record(bad, [](std::string_view, std::string_view) { return Status(); }).ok());
  }
  std::string out;
  FileWriter writer({}, {}, &out);
  EXPECT_FALSE(writer.add_dump(inside(dump(0, 1))).ok());  // no begin
}

WallTime at(const std::string& text) {
  return WallTime(std::chrono::seconds(parse_time(text)->seconds()));
}

TEST(Schedule, Times) {
  ::setenv("TZ", "Europe/Berlin", 1);
  ::tzset();
  Result<ScheduleTime> every = ScheduleTime::parse("every 6h");
  ASSERT_TRUE(every.ok());
  EXPECT_EQ(every->next(at("2024-05-01T10:00:00Z")), at("2024-05-01T16:00:00Z"));
  Result<ScheduleTime> night = ScheduleTime::parse("at 03:00");
  ASSERT_TRUE(night.ok());
  EXPECT_EQ(night->next(at("2024-05-01T00:59:59Z")), at("2024-05-01T01:00:00Z"));
  EXPECT_EQ(night->next(at("2024-05-01T01:00:00Z")), at("2024-05-02T01:00:00Z"));
  // Winter and summer time: a day has another length, and there is one backup nevertheless.
  EXPECT_EQ(night->next(at("2024-10-26T12:00:00Z")), at("2024-10-27T02:00:00Z"));
  EXPECT_EQ(night->next(at("2024-03-30T12:00:00Z")), at("2024-03-31T01:00:00Z"));
  Result<ScheduleTime> gap = ScheduleTime::parse("at 02:30");
  ASSERT_TRUE(gap.ok());
  const WallTime there = gap->next(at("2024-03-30T12:00:00Z"));
  EXPECT_GE(there, at("2024-03-31T00:30:00Z"));
  EXPECT_LE(there, at("2024-03-31T01:30:00Z"));
  for (const char* bad : {"", "every", "every 0h", "every 6x", "at 24:00", "at 3:00", "at 03:60"}) {
    EXPECT_FALSE(ScheduleTime::parse(bad).ok()) << bad;
  }
}

TEST(Keep, TheNewestOfEachPeriod) {
  std::vector<Kept> backups;
  for (int day = 1; day <= 60; ++day) {
    for (int hour : {3, 15}) {
      const WallTime time =
          at("2024-01-01T00:00:00Z") + std::chrono::days(day) + std::chrono::hours(hour);
      backups.push_back({std::to_string(day) + "." + std::to_string(hour), "", time});
    }
  }
  Result<std::vector<KeepRule>> rules = parse_keep({"7d", "4w", "12m"});
  ASSERT_TRUE(rules.ok());
  const std::vector<std::string> gone = not_kept(backups, *rules);
  // Two of the weeks and two of the months are among the days.
  EXPECT_EQ(backups.size() - gone.size(), 7U + 2 + 1);
  EXPECT_TRUE(not_kept(backups, {}).empty());
  // Never the last one, and nothing that another one stands on.
  backups = {{"a", "", at("2020-01-01T00:00:00Z")},
             {"b", "a", at("2020-01-02T00:00:00Z")},
             {"c", "b", at("2020-01-03T00:00:00Z")},
             {"d", "", at("2019-01-01T00:00:00Z")}};
  EXPECT_EQ(not_kept(backups, *parse_keep({"1d"})), std::vector<std::string>{"d"});
  for (const char* bad : {"", "d", "0d", "7", "7x", "-1d"}) EXPECT_FALSE(parse_keep({bad}).ok());
}

TEST(Selection, Parts) {
  SnapshotItem record;
  record.mutable_record()->set_collection("user/users");
  const std::string bytes = record.SerializeAsString();
  EXPECT_TRUE(Selection::parse({})->has(SnapshotItem::kMessage, {}));
  EXPECT_TRUE(Selection::parse({"users"})->has(SnapshotItem::kRecord, bytes));
  EXPECT_TRUE(Selection::parse({"user/*"})->has(SnapshotItem::kRecord, bytes));
  EXPECT_TRUE(Selection::parse({"records"})->has(SnapshotItem::kRecord, bytes));
  EXPECT_FALSE(Selection::parse({"user/user"})->has(SnapshotItem::kRecord, bytes));
  EXPECT_FALSE(Selection::parse({"mailboxes"})->has(SnapshotItem::kRecord, bytes));
  EXPECT_TRUE(Selection::parse({"mailboxes"})->has(SnapshotItem::kDelivery, {}));
  EXPECT_FALSE(Selection::parse({"everything"}).ok());
}

TEST(Disk, ThereWholeOrNotAtAll) {
  std::string folder = std::filesystem::temp_directory_path() / "imctl-backup-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  {
    Result<std::unique_ptr<NewFile>> file = NewFile::create(folder + "/a.imctl");
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->write("text").ok());
    EXPECT_FALSE(std::filesystem::exists(folder + "/a.imctl"));
    // It is being written: nobody removes it.
    remove_unfinished(folder);
    ASSERT_TRUE((*file)->commit().ok());
  }
  EXPECT_EQ(*read_small(folder + "/a.imctl"), "text");
  EXPECT_EQ(NewFile::create(folder + "/a.imctl").status().code(), IMCTL_ALREADY_EXISTS);
  { EXPECT_TRUE(NewFile::create(folder + "/b.imctl").ok()); }
  std::ofstream(folder + "/.c.imctl.abcdef.part") << "left by a process that is gone";
  remove_unfinished(folder);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace imctl::backup
