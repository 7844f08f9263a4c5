// A PostgreSQL server for tests: in a temporary folder, on a free port of 127.0.0.1 and a unix
// socket, gone at the end.
#ifndef IMCTL_STORAGE_POSTGRESQL_TEST_SERVER_H
#define IMCTL_STORAGE_POSTGRESQL_TEST_SERVER_H

#include <string>

namespace imctl::storage {

class TestServer {
 public:
  // Makes its data and starts it; throws std::runtime_error. TLS is on, with a certificate for
  // "localhost" that ca() has signed. `settings`: lines of postgresql.conf.
  explicit TestServer(const std::string& settings = "");
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;
  ~TestServer();

  void start();
  // As if its machine had failed, but for the disk's cache.
  void kill();
  void restart() {
    kill();
    start();
  }
  // Runs SQL in the database "im".
  void sql(const std::string& text) const;

  // Over the unix socket; over TCP.
  std::string uri() const { return "postgresql://im@/im?host=" + folder_ + "&port=" + port_; }
  std::string tcp_uri() const { return "postgresql://im:secret@localhost:" + port_ + "/im"; }
  const std::string& port() const { return port_; }
  int pid() const;  // of the process that all others of it are children of
  std::string ca() const { return folder_ + "/server.crt"; }

 private:
  void stop(const char* mode) const;

  std::string folder_;
  std::string port_;
  bool running_ = false;
};

}  // namespace imctl::storage

#endif  // IMCTL_STORAGE_POSTGRESQL_TEST_SERVER_H
