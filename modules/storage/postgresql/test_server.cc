#include "test_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace imctl::storage {
namespace {

// The newest server that is installed.
std::string programs() {
  if (const char* set = std::getenv("IMCTL_POSTGRESQL_BIN"); set != nullptr) return set;
  std::string found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", none)) {
    found = std::max(found, entry.path().string());
  }
  if (found.empty()) throw std::runtime_error("no PostgreSQL server: install postgresql-15");
  return found + "/bin/";
}

// The server refuses to be root.
void run(const std::string& command) {
  std::string full = geteuid() == 0 ? "runuser -u postgres -- sh -c '" : "sh -c '";
  for (char c : command) full += c == '\'' ? std::string("'\\''") : std::string(1, c);
  full += "' 2>&1";
  FILE* pipe = popen(full.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("popen");
  std::string output;
  std::array<char, 4096> part{};
  while (fgets(part.data(), part.size(), pipe) != nullptr) output += part.data();
  if (pclose(pipe) != 0) throw std::runtime_error(command + ": " + output);
}

std::string free_port() {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  close(fd);
  return std::to_string(ntohs(address.sin_port));
}

}  // namespace

TestServer::TestServer(const std::string& settings) : port_(free_port()) {
  std::string name = (std::filesystem::temp_directory_path() / "imctl-pg-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = name;
  std::filesystem::permissions(folder_, std::filesystem::perms::all);
  const std::string data = folder_ + "/data";
  run(programs() + "initdb -D " + data + " -U im -A trust -E UTF8 --locale=C.UTF-8 --no-sync");
  run("cd " + folder_ +
      " && openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext"
      " subjectAltName=DNS:localhost -days 2 -keyout server.key -out server.crt && chmod 600"
      " server.key && chmod 644 server.crt");
  run("cat >> " + data + "/postgresql.conf <<END\n" +
      "listen_addresses = '127.0.0.1'\nport = " + port_ + "\nunix_socket_directories = '" +
      folder_ + "'\nssl = on\nssl_cert_file = '" + folder_ + "/server.crt'\nssl_key_file = '" +
      folder_ + "/server.key'\nmax_connections = 60\n" + settings + "\nEND\n");
  start();
  run(programs() + "psql -q -h " + folder_ + " -p " + port_ +
      " -U im postgres -c 'CREATE DATABASE im'");
}

TestServer::~TestServer() {
  if (running_) {
    try {
      stop("immediate");
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void TestServer::start() {
  run(programs() + "pg_ctl -D " + folder_ + "/data -l " + folder_ + "/log -w -t 60 start");
  running_ = true;
}

void TestServer::stop(const char* mode) const {
  run(programs() + "pg_ctl -D " + folder_ + "/data -w -t 60 -m " + mode + " stop");
}

void TestServer::kill() {
  stop("immediate");
  running_ = false;
}

int TestServer::pid() const {
  std::ifstream file(folder_ + "/data/postmaster.pid");
  int pid = 0;
  if (!(file >> pid)) throw std::runtime_error("the PostgreSQL server is gone");
  return pid;
}

void TestServer::sql(const std::string& text) const {
  run(programs() + "psql -q -v ON_ERROR_STOP=1 -h " + folder_ + " -p " + port_ + " -U im im -c '" +
      [&] {
        std::string quoted;
        for (char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
        return quoted;
      }() +
      "'");
}

}  // namespace imctl::storage
