#include "options.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "imctl/router/v1/config.pb.h"
#include "wire.h"

namespace imctl::router {
namespace {

Status cannot(const std::string& path) {
  return {IMCTL_FAILED_PRECONDITION, path + ": " + std::strerror(errno)};
}

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Whole or not at all, and there after the power fails.
Status write_line(const std::string& path, const std::string& line) {
  const std::string fresh = path + ".new";
  const int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return cannot(fresh);
  const std::string text = line + "\n";
  const bool good = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                    ::fsync(file) == 0;
  Status status = good ? Status() : cannot(fresh);
  ::close(file);
  if (status.ok() && ::rename(fresh.c_str(), path.c_str()) != 0) status = cannot(path);
  return status;
}

}  // namespace

Result<std::string> own_name(const std::string& folder) {
  const std::string path = folder + "/name";
  if (std::string kept = read_line(path); !kept.empty()) return kept;
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) return cannot("the machine's name");
  std::string name(host.data());
  name = name.substr(0, name.find('.'));
  std::erase_if(name, [](unsigned char c) { return std::isalnum(c) == 0 && c != '-'; });
  constexpr size_t kLongest = 40;
  name = name.substr(0, kLongest);
  if (name.empty() || name.front() == '-') name = "im" + name;
  constexpr char kDigits[] = "0123456789abcdef";
  std::random_device random;
  name += '-';
  for (int i = 0; i < 4; ++i) name += kDigits[random() % 16];
  Status status = write_line(path, name);
  if (!status.ok()) return status;
  return name;
}

Result<uint64_t> next_boot(const std::string& folder) {
  const std::string path = folder + "/boot";
  const uint64_t kept = std::strtoull(read_line(path).c_str(), nullptr, 10);
  const auto now = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                             std::chrono::system_clock::now().time_since_epoch())
                                             .count());
  const uint64_t next = std::max(now, kept + 1);
  Status status = write_line(path, std::to_string(next));
  if (!status.ok()) return status;
  return next;
}

Result<Options> Options::read(const Settings& settings) {
  const auto config = settings.as<v1::Config>();
  Options made;
  for (const std::string& role : config.roles()) {
    if (role == "node") made.is_node = true;
    if (role == "cluster") made.is_service = true;
  }
  made.name = config.name();
  if (made.name.empty()) {
    Result<std::string> name = own_name(std::string(settings.data_dir()));
    if (!name.ok()) return name.status();
    made.name = std::move(*name);
  }
  made.domain = settings.domain();
  made.services.assign(config.services().begin(), config.services().end());
  if (made.is_node && !made.is_service && made.services.empty()) {
    return Status(
        IMCTL_INVALID_ARGUMENT,
        "router.services: a node needs a Cluster Management Service: name one, or add the "
        "role cluster to router.roles");
  }
  NodeSettings& node = made.node;
  node.node = made.name;
  node.address = config.address();
  node.clustered = true;
  node.window = config.session_window();
  node.max_queued = config.session_window();
  node.max_unanswered = config.send_window();
  node.max_unanswered_total = std::max(node.max_unanswered_total, node.max_unanswered);
  node.max_link_queue = config.link_queue();
  node.max_drains = config.max_reads();
  node.max_devices = config.max_devices();
  node.stall_timeout = from_duration(config.stall_timeout());
  node.resync_interval = from_duration(config.resync_interval());
  node.resync_spread = std::min(node.resync_spread, node.resync_interval);
  ServiceSettings& service = made.service;
  service.service = made.name;
  service.lease = from_duration(config.lease());
  service.grace = service.lease / 3;
  service.max_link_queue = config.link_queue();
  made.max_sessions = config.max_sessions();
  made.max_recipients = config.max_recipients();
  made.max_message = config.max_message();
  made.storage_timeout = std::chrono::milliseconds(from_duration(config.storage_timeout()));
  return made;
}

}  // namespace imctl::router
