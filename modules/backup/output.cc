#include "output.h"

#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "disk.h"
#include "folder.h"

namespace imctl::backup {
namespace {

namespace fs = std::filesystem;

class FileOutput final : public Output {
 public:
  FileOutput(std::unique_ptr<NewFile> file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}
  Task<Status> write(std::string bytes) override { co_return file_->write(bytes); }
  Task<Status> commit() override { co_return file_->commit(); }
  std::string name() const override { return path_; }

 private:
  const std::unique_ptr<NewFile> file_;
  const std::string path_;
};

class StreamOutput final : public Output {
 public:
  explicit StreamOutput(imctl::Writer<v1::CreateBackupResponse>* writer) : writer_(writer) {}
  Task<Status> write(std::string bytes) override {
    constexpr size_t kPiece = size_t{256} << 10U;
    for (size_t at = 0; at < bytes.size(); at += kPiece) {
      v1::CreateBackupResponse reply;
      reply.set_file(bytes.substr(at, kPiece));
      if (!co_await writer_->write(reply)) {
        co_return Status(IMCTL_CANCELLED, "the caller went away");
      }
    }
    co_return Status();
  }
  Task<Status> commit() override { co_return Status(); }

 private:
  imctl::Writer<v1::CreateBackupResponse>* const writer_;
};

class CommandOutput final : public Output {
 public:
  CommandOutput(pid_t child, int socket) : child_(child), socket_(socket) {}
  ~CommandOutput() override {
    if (child_ <= 0) return;
    ::kill(-child_, SIGKILL);
    (void)wait();
  }
  Task<Status> write(std::string bytes) override {
    const char* from = bytes.data();
    size_t left = bytes.size();
    while (left > 0) {
      // Not a pipe: a command that has ended is an error here, not a signal for the host.
      const ssize_t n = ::send(socket_, from, left, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        const int status = wait();
        co_return failed(status, "ended before it had all of the file");
      }
      from += n;
      left -= static_cast<size_t>(n);
    }
    co_return Status();
  }
  Task<Status> commit() override {
    const int status = wait();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) co_return Status();
    co_return failed(status, "failed");
  }

 private:
  int wait() {
    ::close(socket_);
    int status = 0;
    while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
    }
    child_ = 0;
    return status;
  }
  static Status failed(int status, const std::string& what) {
    const std::string how = WIFEXITED(status) ? "exit code " + std::to_string(WEXITSTATUS(status))
                                              : "signal " + std::to_string(WTERMSIG(status));
    return {IMCTL_UNAVAILABLE, "the command of the setting `target` " + what + " (" + how +
                                   "): what it says is in the host's standard error"};
  }

  pid_t child_;
  const int socket_;
};

}  // namespace

Result<std::unique_ptr<Output>> file_output(const std::string& to, const v1::FileHeader& header) {
  if (!to.starts_with('/')) {
    return Status(IMCTL_INVALID_ARGUMENT,
                  "to: `" + to + "` is no absolute path: it is one on the host's machine");
  }
  std::error_code error;
  std::string path = to;
  if (to.ends_with('/') || fs::is_directory(to, error)) {
    if (Status status = make_folder(to); !status.ok()) return status;
    path = fs::path(to) / Folder::file_name(header);
  }
  Result<std::unique_ptr<NewFile>> file = NewFile::create(path);
  if (!file.ok()) return file.status();
  return std::unique_ptr<Output>(std::make_unique<FileOutput>(std::move(*file), path));
}

Result<std::unique_ptr<Output>> command_output(const std::string& command,
                                               const v1::FileHeader& header) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return disk_error("the command of the setting `target`", errno);
  }
  ::shutdown(sockets[0], SHUT_RD);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, sockets[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // A group of its own, to be ended with all that it started; and no signal is blocked in it.
  sigset_t none;
  sigset_t defaults;
  sigemptyset(&none);
  sigfillset(&defaults);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string name = "IMCTL_BACKUP_NAME=" + Folder::file_name(header);
  std::vector<char*> environment = {name.data()};
  for (char** entry = ::environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  environment.push_back(nullptr);
  std::string shell = "/bin/sh";
  std::string flag = "-c";
  std::string text = command;
  char* arguments[] = {shell.data(), flag.data(), text.data(), nullptr};
  pid_t child = 0;
  const int error =
      ::posix_spawn(&child, shell.c_str(), &actions, &attributes, arguments, environment.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  ::close(sockets[1]);
  if (error != 0) {
    ::close(sockets[0]);
    return disk_error("the command of the setting `target`", error);
  }
  return std::unique_ptr<Output>(std::make_unique<CommandOutput>(child, sockets[0]));
}

std::unique_ptr<Output> stream_output(imctl::Writer<v1::CreateBackupResponse>* writer) {
  return std::make_unique<StreamOutput>(writer);
}

}  // namespace imctl::backup
