#include "tar.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace imctl::backup {
namespace {

constexpr size_t kPiece = size_t{64} << 10U;

struct Input {
  const Source* source;
  uint64_t at = 0;
  std::string piece;
};

la_ssize_t read_input(struct archive* /*archive*/, void* context, const void** bytes) {
  auto* input = static_cast<Input*>(context);
  input->piece.resize(
      static_cast<size_t>(std::min<uint64_t>(kPiece, input->source->size() - input->at)));
  if (!input->source->read(input->at, input->piece.data(), input->piece.size()).ok()) return -1;
  input->at += input->piece.size();
  *bytes = input->piece.data();
  return static_cast<la_ssize_t>(input->piece.size());
}

la_ssize_t write_output(struct archive* /*archive*/, void* context, const void* bytes,
                        size_t size) {
  static_cast<std::string*>(context)->append(static_cast<const char*>(bytes), size);
  return static_cast<la_ssize_t>(size);
}

struct FreeRead {
  void operator()(struct archive* archive) const { archive_read_free(archive); }
};
using ReadArchive = std::unique_ptr<struct archive, FreeRead>;

ReadArchive open_tar(Input* input) {
  ReadArchive archive(archive_read_new());
  archive_read_support_format_tar(archive.get());
  archive_read_support_filter_gzip(archive.get());
  archive_read_support_filter_xz(archive.get());
  archive_read_support_filter_zstd(archive.get());
  if (archive_read_open(archive.get(), input, nullptr, read_input, nullptr) != ARCHIVE_OK) {
    archive.reset();
  }
  return archive;
}

// A part of another.
class Slice final : public Source {
 public:
  Slice(std::shared_ptr<Source> whole, uint64_t from, uint64_t size)
      : whole_(std::move(whole)), from_(from), size_(size) {}
  uint64_t size() const override { return size_; }
  Status read(uint64_t offset, char* to, size_t count) const override {
    return whole_->read(from_ + offset, to, count);
  }

 private:
  const std::shared_ptr<Source> whole_;
  const uint64_t from_;
  const uint64_t size_;
};

}  // namespace

bool is_tar(const Source& source) {
  Input input{&source, 0, {}};
  const ReadArchive archive = open_tar(&input);
  archive_entry* entry = nullptr;
  return archive != nullptr && archive_read_next_header(archive.get(), &entry) == ARCHIVE_OK &&
         archive_format(archive.get()) != 0;
}

Result<std::vector<ImportFile>> read_tar(const Source& source, Scratch* scratch) {
  struct Member {
    std::string name;
    uint64_t from;
    uint64_t size;
  };
  std::vector<Member> members;
  Input input{&source, 0, {}};
  const ReadArchive archive = open_tar(&input);
  const auto bad = [&] {
    const char* why = archive == nullptr ? nullptr : archive_error_string(archive.get());
    return Status(IMCTL_INVALID_ARGUMENT,
                  std::string("the tar cannot be read: ") + (why == nullptr ? "it ends" : why));
  };
  archive_entry* entry = nullptr;
  int read = archive == nullptr ? ARCHIVE_FATAL : ARCHIVE_OK;
  while (read == ARCHIVE_OK &&
         (read = archive_read_next_header(archive.get(), &entry)) == ARCHIVE_OK) {
    if (archive_entry_filetype(entry) != AE_IFREG) continue;
    const char* name = archive_entry_pathname(entry);
    Member member{name == nullptr ? "" : name, scratch->size(), 0};
    std::string piece(kPiece, '\0');
    la_ssize_t size = 0;
    while ((size = archive_read_data(archive.get(), piece.data(), piece.size())) > 0) {
      Status status = scratch->write(std::string_view(piece).substr(0, static_cast<size_t>(size)));
      if (!status.ok()) return status;
    }
    if (size < 0) return bad();
    member.size = scratch->size() - member.from;
    members.push_back(std::move(member));
  }
  if (read != ARCHIVE_EOF) return bad();
  Result<std::shared_ptr<Source>> all = scratch->read();
  if (!all.ok()) return all.status();
  std::vector<ImportFile> files;
  for (Member& member : members) {
    files.push_back(
        {std::move(member.name), std::make_shared<Slice>(*all, member.from, member.size)});
  }
  return files;
}

struct TarWriter::Archive {
  struct archive* raw = archive_write_new();
  ~Archive() { archive_write_free(raw); }
};

TarWriter::TarWriter(std::string* out) : archive_(std::make_unique<Archive>()) {
  archive_write_set_format_pax_restricted(archive_->raw);
  archive_write_set_bytes_per_block(archive_->raw, 0);
  archive_write_open(archive_->raw, out, nullptr, write_output, nullptr);
}

TarWriter::~TarWriter() = default;

void TarWriter::begin_file(const std::string& name, uint64_t size) {
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname_utf8(entry, name.c_str());
  archive_entry_set_size(entry, static_cast<la_int64_t>(size));
  archive_entry_set_filetype(entry, AE_IFREG);
  constexpr int kMode = 0600;
  archive_entry_set_perm(entry, kMode);
  archive_write_header(archive_->raw, entry);
  archive_entry_free(entry);
}

void TarWriter::write(const std::string& bytes) {
  archive_write_data(archive_->raw, bytes.data(), bytes.size());
}

void TarWriter::end() { archive_write_close(archive_->raw); }

}  // namespace imctl::backup
