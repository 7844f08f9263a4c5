#include "ejabberd.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "xmpp_chat.h"

namespace imctl::bench {
namespace {

// The folders of the program and of its driver for PostgreSQL; empty: not installed.
std::string library(const std::string& name) {
  std::error_code none;
  for (const auto& machine : std::filesystem::directory_iterator("/usr/lib", none)) {
    if (!machine.is_directory()) continue;
    for (const auto& entry : std::filesystem::directory_iterator(machine.path(), none)) {
      if (entry.path().filename().string().starts_with(name + "-") &&
          std::filesystem::exists(entry.path() / "ebin")) {
        return entry.path().string();
      }
    }
  }
  return {};
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

std::string no_ejabberd() {
  if (!std::filesystem::exists("/usr/bin/erl") || library("ejabberd").empty()) {
    return "the package ejabberd is not installed";
  }
  if (!std::filesystem::exists("/usr/share/ejabberd/sql/pg.sql")) return "ejabberd has no pg.sql";
  return {};
}

Ejabberd::Ejabberd(size_t users, bool archive) : port_(free_port()) {
  database_.sql(read_file("/usr/share/ejabberd/sql/pg.sql"));
  database_.sql("INSERT INTO users (username, password) SELECT 'u' || i, '" +
                std::string(kXmppPassword) + "' FROM generate_series(0, " +
                std::to_string(users - 1) + ") i");
  const std::string log = folder_.path() + "/out";
  // As ejabberdctl starts it, but without a name in a network of nodes.
  process_.emplace(std::vector<std::string>{
      "/bin/sh", "-c",
      "cd " + folder_.path() + " && HOME=" + folder_.path() + " ERL_CRASH_DUMP=/dev/null" +
          " EJABBERD_CONFIG_PATH=" + configure(archive) + " EJABBERD_LOG_PATH=" + folder_.path() +
          "/log exec erl -noinput +K true +P 250000 -mnesia dir '\"" + folder_.path() +
          "/mnesia\"' -pa " + library("ejabberd") + "/ebin -s ejabberd >" + log + " 2>&1"});
  if (!wait_listening(port_)) {
    throw std::runtime_error("ejabberd does not start: " + read_file(log));
  }
}

std::string Ejabberd::configure(bool archive) const {
  std::string path = folder_.path() + "/ejabberd.yml";
  std::ofstream file(path);
  file << "hosts: [localhost]\nloglevel: 2\nauth_method: [sql]\nsql_type: pgsql\n"
       << "sql_server: 127.0.0.1\nsql_port: " << database_.port()
       << "\nsql_database: im\nsql_username: im\nsql_password: secret\nlisten:\n  - port: " << port_
       << "\n    ip: 127.0.0.1\n    module: ejabberd_c2s\n    backlog: 1024\n    access: all\n    "
          "shaper: none\n"
       << "modules:\n  mod_offline: {}\n";
  if (archive) {
    file << "  mod_mam:\n    db_type: sql\n    default: always\n    assume_mam_usage: true\n";
  }
  return path;
}

double Ejabberd::cpu_seconds() const {
  return process_->cpu_seconds() + bench::cpu_seconds(database_.pid());
}

}  // namespace imctl::bench
