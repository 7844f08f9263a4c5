#include "cli/catalog_source.h"

#include <google/protobuf/unknown_field_set.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/field_value.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

constexpr size_t kMostFiles = 64;
constexpr int kDigest = 1;  // of GetCatalogResponse
constexpr int kManifests = 2;
constexpr int kVersion = 3;
constexpr int kKnownDigest = 1;  // of GetCatalogRequest

// Readable, and different for every address: FNV-1a.
std::string file_name(const std::string& address) {
  uint64_t hash = 14695981039346656037ULL;
  std::string name;
  for (char c : address) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.';
    name += plain ? c : '_';
  }
  if (name.size() > 60) name.erase(0, name.size() - 60);
  return "catalog-" + name + "-" + std::to_string(hash) + ".pb";
}

std::optional<CatalogReply> load_file(const std::string& path) {
  if (path.empty()) return std::nullopt;
  Result<std::string> bytes = read_file(path);
  if (!bytes.ok()) return std::nullopt;
  std::optional<CatalogReply> reply = CatalogReply::parse(*bytes);
  if (reply && (reply->digest.empty() || reply->manifests.empty())) return std::nullopt;
  return reply;
}

}  // namespace

std::optional<CatalogReply> CatalogReply::parse(const std::string& bytes) {
  google::protobuf::UnknownFieldSet fields;
  if (!fields.ParseFromString(bytes)) return std::nullopt;
  CatalogReply reply;
  for (int i = 0; i < fields.field_count(); ++i) {
    const google::protobuf::UnknownField& field = fields.field(i);
    if (field.type() != google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED) continue;
    if (field.number() == kDigest) reply.digest = field.length_delimited();
    if (field.number() == kManifests) reply.manifests.push_back(field.length_delimited());
    if (field.number() == kVersion) reply.version = field.length_delimited();
  }
  return reply;
}

std::string CatalogReply::serialize() const {
  google::protobuf::UnknownFieldSet fields;
  fields.AddLengthDelimited(kDigest, digest);
  for (const std::string& manifest : manifests) fields.AddLengthDelimited(kManifests, manifest);
  fields.AddLengthDelimited(kVersion, version);
  std::string bytes;
  (void)fields.SerializeToString(&bytes);
  return bytes;
}

CatalogCache::CatalogCache(const std::string& address) {
  std::string base = env("XDG_CACHE_HOME");
  if (base.empty() || base.front() != '/') {
    std::string home = env("HOME");
    if (home.empty()) return;
    base = home + "/.cache";
  }
  folder_ = base + "/imctl";
  file_ = folder_ + "/" + file_name(address);
}

std::optional<CatalogReply> CatalogCache::load() const { return load_file(file_); }

std::optional<CatalogReply> CatalogCache::load_latest() const {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::path latest;
  fs::file_time_type time = fs::file_time_type::min();
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    fs::file_time_type written = entry.last_write_time(error);
    if (error || entry.path().extension() != ".pb" || written < time) continue;
    latest = entry.path();
    time = written;
  }
  return load_file(latest.string());
}

void CatalogCache::store(const CatalogReply& reply) const {
  if (file_.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  std::string temporary = file_ + ".XXXXXX";
  int fd = ::mkstemp(temporary.data());
  if (fd < 0) return;
  std::string bytes = reply.serialize();
  bool whole = ::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  whole = ::close(fd) == 0 && whole;
  if (whole) std::filesystem::rename(temporary, file_, error);
  if (!whole || error) std::filesystem::remove(temporary, error);
  forget_oldest();
}

// Those of hosts that nobody has called for longest.
void CatalogCache::forget_oldest() const {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    if (entry.path().extension() == ".pb") {
      files.emplace_back(entry.last_write_time(error), entry.path());
    }
  }
  if (files.size() <= kMostFiles) return;
  std::sort(files.begin(), files.end());
  files.resize(files.size() - kMostFiles);
  for (const auto& [time, path] : files) fs::remove(path, error);
}

Result<CatalogReply> fetch_catalog(Transport& transport, const CatalogCache* cache,
                                   std::chrono::nanoseconds timeout) {
  std::optional<CatalogReply> known;
  if (cache != nullptr) known = cache->load();
  google::protobuf::UnknownFieldSet request;
  if (known) request.AddLengthDelimited(kKnownDigest, known->digest);
  std::string request_bytes;
  (void)request.SerializeToString(&request_bytes);

  std::optional<CatalogReply> reply;
  CallRequest call;
  call.method = "/imctl.host.v1.Catalog/Get";
  call.timeout = timeout;
  Status status = transport.call(
      call, [&] { return std::optional<std::string>(request_bytes); },
      [&](const std::string& bytes) {
        reply = CatalogReply::parse(bytes);
        return true;
      });
  if (status.code() == IMCTL_UNIMPLEMENTED) {
    return Status(IMCTL_UNIMPLEMENTED,
                  "what answers at " + transport.where() +
                      " is not an imctl host: it serves no imctl.host.v1.Catalog");
  }
  if (!status.ok()) return status;
  if (!reply) {
    return Status(IMCTL_DATA_LOSS,
                  "the catalog of the host at " + transport.where() + " cannot be read");
  }
  if (known && reply->manifests.empty() && reply->digest == known->digest) return *known;
  if (cache != nullptr) cache->store(*reply);
  return *reply;
}

}  // namespace imctl::host::cli
