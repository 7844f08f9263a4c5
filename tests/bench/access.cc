#include "access.h"

#include <cstdio>
#include <stdexcept>
#include <string>

#include "load.h"
#include "pair.h"
#include "process.h"

namespace imctl::bench {
namespace {

std::string local(int port) { return "127.0.0.1:" + std::to_string(port); }

// What the program prints.
std::string imctl(const std::string& arguments) {
  const std::string command = std::string(IMCTL_PROGRAM) + " " + arguments;
  FILE* out = popen(command.c_str(), "r");
  if (out == nullptr) throw std::runtime_error("cannot run " + command);
  std::string text;
  for (int c = std::fgetc(out); c != EOF; c = std::fgetc(out)) text += static_cast<char>(c);
  if (pclose(out) != 0) throw std::runtime_error(command + " failed");
  return text;
}

// A host that wants to know who calls, and a user of it who may make the calls.
class GuardedHost {
 public:
  explicit GuardedHost(bool tls) : port_(free_port()), tls_(tls), process_(command()) {
    if (!wait_listening(port_)) throw std::runtime_error("the host does not start");
    const std::string server = " --server unix:" + folder_.path() + "/data/imctl.sock";
    (void)imctl("user add bench --roles bench" + server);
    const std::string json = imctl("token create bench -o json" + server);
    const std::string field = "\"token\": \"";
    const size_t from = json.find(field) + field.size();
    token_ = json.substr(from, json.find('"', from) - from);
  }
  Client client() const { return Client(local(port_), {token_, tls_ ? authority() : ""}); }

 private:
  std::string authority() const { return folder_.path() + "/tls/ca.pem"; }
  std::vector<std::string> command() const {
    const std::string tls = folder_.path() + "/tls";
    std::vector<std::string> all =
        serve_command(folder_.path() + "/data", port_, "bench,user,storage-sqlite",
                      IMCTL_BENCH_MODULES "," IMCTL_MODULES);
    auto set = [&all](const std::string& setting) { all.insert(all.end(), {"--set", setting}); };
    set("host.auth=required");
    set("roles.bench=imctl.bench.v1.Bench/*");
    if (!tls_) return all;
    (void)imctl("tls init --dir " + tls);
    (void)imctl("tls issue host --host 127.0.0.1 --dir " + tls);
    set("host.tls_cert=" + tls + "/host.pem");
    set("host.tls_key=" + tls + "/host-key.pem");
    return all;
  }

  Folder folder_;
  const int port_;
  const bool tls_;
  Process process_;
  std::string token_;
};

struct Calls {
  Pair one{[](Client& client) { return client.unary(1, std::chrono::milliseconds(500)); }};
  Pair many{[](Client& client) { return client.unary(64, std::chrono::milliseconds(500)); }};

  void run(Client& ours, Client& theirs, int rounds) {
    one.run(ours, theirs, rounds);
    many.run(ours, theirs, rounds);
  }
  void add(std::vector<Figure>* figures, const std::string& what, double goal) const {
    one.add_calls(figures, what + ", unary, 1 in flight", "auth = none", goal);
    many.add_calls(figures, what + ", unary, 64 in flight", "auth = none", goal);
  }
};

}  // namespace

void measure_access(std::vector<Figure>* figures, int rounds) {
  Folder folder;
  const int port = free_port();
  Process open_host(serve_command(folder.path(), port, "bench", IMCTL_BENCH_MODULES));
  GuardedHost guarded(false);
  GuardedHost guarded_by_tls(true);
  Client to_open(local(port));
  Client to_guarded = guarded.client();
  Client to_tls = guarded_by_tls.client();
  Calls token, tls;
  token.run(to_guarded, to_open, rounds);
  tls.run(to_tls, to_open, rounds);
  token.add(figures, "token and role", 0.9);
  tls.add(figures, "token and role, TLS", 0);
}

}  // namespace imctl::bench
