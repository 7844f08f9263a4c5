#include "client_start.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "process.h"

extern char** environ;

namespace imctl::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRunsARound = 20;
constexpr char kEtcd[] = "/usr/bin/etcd";
constexpr char kEtcdctl[] = "/usr/bin/etcdctl";

// Runs it to its end with its output in a file; throws if it fails.
void run_into(const std::vector<std::string>& command, const std::string& output) {
  std::vector<char*> arguments;
  for (const std::string& part : command) arguments.push_back(const_cast<char*>(part.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t pid = -1;
  int error = posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (error != 0 || waitpid(pid, &status, 0) != pid || status != 0) {
    throw std::runtime_error("failed: " + command[0] + " " + command[1]);
  }
}

std::string content(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// Milliseconds, the median of some runs.
double time_of(const std::vector<std::string>& command, const std::string& output) {
  std::vector<double> times;
  for (int i = 0; i < kRunsARound; ++i) {
    Clock::time_point start = Clock::now();
    run_into(command, output);
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  return median(times);
}

}  // namespace

void measure_client_start(std::vector<Figure>* figures, int rounds) {
  Folder folder;
  // The tester's own cache and contexts are not touched. One thread, so far.
  setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
  setenv("XDG_CONFIG_HOME", folder.path().c_str(), 1);
  setenv("ETCDCTL_API", "3", 1);
  std::string output = folder.path() + "/output";
  int port = free_port();
  Process host(serve_command(folder.path() + "/host", port, "storage-sqlite", IMCTL_MODULES));
  int etcd_port = free_port();
  int peer_port = free_port();
  auto url = [](int at) { return "http://127.0.0.1:" + std::to_string(at); };
  Process etcd({kEtcd, "--data-dir", folder.path() + "/etcd", "--listen-client-urls",
                url(etcd_port), "--advertise-client-urls", url(etcd_port), "--listen-peer-urls",
                url(peer_port), "--initial-advertise-peer-urls", url(peer_port),
                "--initial-cluster", "default=" + url(peer_port), "--logger", "zap",
                "--log-outputs", "/dev/null"});
  if (!wait_listening(port) || !wait_listening(etcd_port)) {
    throw std::runtime_error("the host or etcd does not start");
  }
  std::string request = folder.path() + "/message.json";
  std::ofstream(request)
      << R"({"msgs":[{"id":"key","source":"bench","type":"t","spec_version":"1.0",)"
      << R"("text_data":"value"}]})";
  // Each as it is reached by default: a unix socket, and a port of this machine.
  std::string server = "--server=unix:" + folder.path() + "/host/imctl.sock";
  std::vector<std::string> ours = {IMCTL_PROGRAM, "message", "get", "key", server};
  std::vector<std::string> theirs = {kEtcdctl, "--endpoints=" + url(etcd_port), "get", "key"};
  run_into({IMCTL_PROGRAM, "message", "put", "-f", request, server}, output);
  run_into({kEtcdctl, "--endpoints=" + url(etcd_port), "put", "key", "value"}, output);
  for (const auto& command : {ours, theirs}) {
    run_into(command, output);
    if (content(output).find("value") == std::string::npos) {
      throw std::runtime_error(command[0] + " did not get what was put");
    }
  }
  std::vector<double> our_times, their_times, ratios;
  for (int i = 0; i < rounds; ++i) {
    bool first = i % 2 == 0;
    double a = time_of(first ? ours : theirs, output);
    double b = time_of(first ? theirs : ours, output);
    our_times.push_back(first ? a : b);
    their_times.push_back(first ? b : a);
    ratios.push_back(our_times.back() / their_times.back());
  }
  double ratio = median(ratios);
  figures->push_back({"message get from a fresh process", median(our_times), "ms", "etcdctl get",
                      median(their_times), ratio, "ratio <= 1", ratio <= 1});
}

}  // namespace imctl::bench
