#include "process.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <thread>

extern char** environ;

namespace imctl::bench {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

double status_megabytes(pid_t pid, const std::string& what) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == what && status >> kilobytes) return kilobytes / 1024;
  }
  throw std::runtime_error("a server has ended");
}

}  // namespace

Process::Process(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& part : command) arguments.push_back(const_cast<char*>(part.c_str()));
  arguments.push_back(nullptr);
  if (posix_spawn(&pid_, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0) {
    throw std::runtime_error("cannot start " + command[0]);
  }
}

Process::~Process() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
}

double Process::resident_megabytes() const { return status_megabytes(pid_, "VmRSS:"); }
double Process::peak_megabytes() const { return status_megabytes(pid_, "VmHWM:"); }
double Process::cpu_seconds() const { return bench::cpu_seconds(pid_); }

double cpu_seconds(pid_t pid) {
  struct Usage {
    pid_t parent = 0;
    double ticks = 0;
  };
  std::map<pid_t, Usage> all;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t number = std::atoi(entry.path().filename().c_str());
    if (number == 0) continue;
    std::ifstream file(entry.path() / "stat");
    std::string line;
    if (!std::getline(file, line)) continue;  // it ended meanwhile
    // The name, in parentheses, may have spaces.
    std::istringstream fields(line.substr(line.rfind(')') + 1));
    std::string skipped;
    Usage usage;
    fields >> skipped >> usage.parent;
    for (int i = 5; i < 14; ++i) fields >> skipped;
    // Its own and that of children which ended: in user and in kernel mode.
    for (int i = 0; i < 4; ++i) {
      double part = 0;
      fields >> part;
      usage.ticks += part;
    }
    all[number] = usage;
  }
  double ticks = 0;
  for (const auto& [number, usage] : all) {
    // A few steps up, if at all.
    for (pid_t up = number; up != 0; up = all.contains(up) ? all[up].parent : 0) {
      if (up != pid) continue;
      ticks += usage.ticks;
      break;
    }
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

Folder::Folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "imctl-bench-XXXXXX").string();
  path_ = mkdtemp(pattern.data());
}

Folder::~Folder() { std::filesystem::remove_all(path_); }

std::vector<std::string> serve_command(const std::string& data, int port,
                                       const std::string& modules, const std::string& module_path) {
  // Whatever this machine is configured with.
  std::vector<std::string> command = {IMCTL_PROGRAM, "serve", "--config", "/dev/null"};
  for (const std::string& setting :
       {"host.data=" + data, "host.listen=127.0.0.1:" + std::to_string(port),
        std::string("host.auth=none"), std::string("host.log_level=error"),
        "host.modules=" + modules, "host.module_path=" + module_path,
        std::string("bench.isolate=no"), std::string("bench-peer.isolate=no")}) {
    // A module that is not there has no settings.
    std::string section = setting.substr(0, setting.find('.'));
    if (section != "host" && ("," + modules + ",").find("," + section + ",") == std::string::npos) {
      continue;
    }
    command.insert(command.end(), {"--set", setting});
  }
  return command;
}

int free_port() {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

bool wait_listening(int port) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < end) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(port);
    bool up = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
    close(fd);
    if (up) return true;
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  return false;
}

}  // namespace imctl::bench
