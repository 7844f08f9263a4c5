// A server in a process of its own, in a folder of its own.
#ifndef IMCTL_TESTS_BENCH_PROCESS_H
#define IMCTL_TESTS_BENCH_PROCESS_H

#include <sys/types.h>

#include <string>
#include <vector>

namespace imctl::bench {

class Process {
 public:
  explicit Process(const std::vector<std::string>& command);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();  // ends it

  double resident_megabytes() const;
  // The most it ever was.
  double peak_megabytes() const;
  double cpu_seconds() const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

// That a process and all that it started have used of the processors until now.
double cpu_seconds(pid_t pid);

class Folder {
 public:
  Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The host, on a port of 127.0.0.1.
std::vector<std::string> serve_command(const std::string& data, int port,
                                       const std::string& modules, const std::string& module_path);

// A port of 127.0.0.1 that was free just now.
int free_port();

// Until something listens there; false after ten seconds.
bool wait_listening(int port);

}  // namespace imctl::bench

#endif  // IMCTL_TESTS_BENCH_PROCESS_H
