// `imctl login` and `logout`: a token for a password, kept for the commands that follow.
#include <google/protobuf/util/time_util.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <utility>

#include "cli/connection.h"
#include "cli/files.h"
#include "cli/local_verbs.h"
#include "cli/secret.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "imctl/auth/v1/login.pb.h"

namespace imctl::host::cli {
namespace {

namespace fs = std::filesystem;
using auth::v1::LoginRequest;
using auth::v1::LoginResponse;
using auth::v1::LogoutRequest;

constexpr const char* kLogin = "/imctl.auth.v1.Login/Login";
constexpr const char* kLogout = "/imctl.auth.v1.Login/Logout";

Result<std::string> password_of(LocalCall& call, const LocalArguments& arguments) {
  if (!arguments.has("password-file")) {
    Result<std::string> asked = read_secret("password", "");
    if (!asked.ok() && asked.status().code() == IMCTL_INVALID_ARGUMENT) {
      return Status(IMCTL_INVALID_ARGUMENT,
                    "there is no terminal to ask for the password on: use --password-file FILE, or "
                    "--password-file - for standard input");
    }
    return asked;
  }
  const std::string file = arguments.get("password-file");
  if (file == "-") {
    call.take_standard_input();
    return read_secret("password", "-");
  }
  return read_secret("password", "@" + file);
}

std::string this_device() {
  std::array<char, 65> machine{};
  (void)::gethostname(machine.data(), machine.size() - 1);
  return std::string("imctl@") + machine.data();
}

// One unary call; its reply.
Result<std::string> ask(LocalCall& call, const Flags& flags, const char* method,
                        std::string request) {
  Status status = call.session.open(flags);
  if (!status.ok()) return status;
  CallRequest head;
  head.method = method;
  head.call_id = flags.call_id;
  head.timeout = flags.timeout;
  Transport& transport = call.session.transport();
  std::optional<std::string> next = std::move(request);
  std::string reply;
  call.session.interrupt().set_call(&transport);
  status = transport.call(
      head, [&next] { return std::exchange(next, std::nullopt); },
      [&reply](std::string message) {
        reply = std::move(message);
        return true;
      });
  call.session.interrupt().set_call(nullptr);
  if (next) ::explicit_bzero(next->data(), next->size());
  if (!status.ok()) return status;
  return reply;
}

// Not of a line of `imctl run`: that one's connection says who calls already.
Status check_alone(const LocalCall& call, const char* verb) {
  if (call.flags.embedded) {
    return {IMCTL_INVALID_ARGUMENT, "--embedded: whoever opens a host is its administrator"};
  }
  if (call.session.catalog() != nullptr) {
    return {IMCTL_INVALID_ARGUMENT,
            std::string("`") + verb +
                "` is no line of `imctl run`: all its lines share one connection"};
  }
  return {};
}

void print(LocalCall& call, const LoginResponse& reply, const std::string& file) {
  using google::protobuf::util::TimeUtil;
  const std::string until = reply.has_expires() ? TimeUtil::ToString(reply.expires()) : "";
  Tree tree = Tree::object();
  tree.add("user", Tree::string(reply.user()));
  tree.add("expires", Tree::string(until));
  tree.add("id", Tree::string(reply.id()));
  tree.add("token_file", Tree::string(file));
  switch (call.flags.format()) {
    case Format::kJson: call.out << to_json(tree, true) << '\n'; break;
    case Format::kJsonLines: call.out << to_json(tree, false) << '\n'; break;
    case Format::kYaml: call.out << to_yaml(tree); break;
    case Format::kName: call.out << clean_line(reply.user()) << '\n'; break;
    case Format::kTable:
    case Format::kWide:
      call.out << "You are " << clean_line(reply.user())
               << (until.empty() ? "" : ", until " + until) << ".\n";
  }
}

}  // namespace

Status log_in(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 1, 1);
  if (!arguments.ok()) return arguments.status();
  Status status = check_alone(call, "login");
  if (!status.ok()) return status;
  Flags flags = call.flags;
  flags.anonymous = true;  // an old token may have ended
  Result<Connection> connection = find_connection(flags);
  if (!connection.ok()) return connection.status();
  const std::string& file = connection->kept_token;
  if (file.empty()) {
    return {IMCTL_FAILED_PRECONDITION,
            "context `" + connection->name +
                "` names a file for its token, which is not replaced here: "
                "`imctl context add " +
                connection->name + " --replace` without --token-file first"};
  }
  status = check_token_way(*connection);
  if (!status.ok()) return status;
  Result<std::string> password = password_of(call, *arguments);
  if (!password.ok()) return password.status();
  LoginRequest request;
  request.set_user(arguments->words.front());
  request.set_password(*password);
  request.set_device(arguments->has("device") ? arguments->get("device") : this_device());
  ::explicit_bzero(password->data(), password->size());
  if (call.flags.dry_run) {
    call.err << "dry run: nothing was changed\n";
    return {};
  }
  Result<std::string> answer = ask(call, flags, kLogin, request.SerializeAsString());
  ::explicit_bzero(request.mutable_password()->data(), request.password().size());
  if (!answer.ok()) return answer.status();
  LoginResponse reply;
  if (!reply.ParseFromString(*answer) || reply.token().empty()) {
    return {IMCTL_INTERNAL, "the host's answer has no token"};
  }
  std::error_code error;
  const fs::path folder = fs::path(file).parent_path();
  if (fs::create_directories(folder, error)) fs::permissions(folder, fs::perms::owner_all, error);
  if (error) return file_error(folder.string(), error.value());
  status = replace_file(file, 0600, reply.token() + "\n");
  if (!status.ok()) return status;
  print(call, reply, file);
  return {};
}

Status log_out(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 0, 0);
  if (!arguments.ok()) return arguments.status();
  Status status = check_alone(call, "logout");
  if (!status.ok()) return status;
  Result<Connection> connection = find_connection(call.flags);
  if (!connection.ok()) return connection.status();
  if (connection->context.token_file.empty()) {
    call.err << "nobody is logged in here\n";
    return {};
  }
  if (call.flags.dry_run) {
    call.err << "dry run: nothing was changed\n";
    return {};
  }
  if (!arguments->has("forget")) {
    Result<std::string> answer =
        ask(call, call.flags, kLogout, LogoutRequest().SerializeAsString());
    const imctl_code code = answer.status().code();
    // It ended before, or the host has no such users any more: then nothing is left to end.
    const bool gone =
        code == IMCTL_UNAUTHENTICATED || code == IMCTL_NOT_FOUND || code == IMCTL_UNIMPLEMENTED;
    if (!answer.ok() && !gone) return answer.status();
    if (gone) call.err << "the host knows the token no more\n";
  }
  // One that the context names is its owner's.
  if (connection->kept_token.empty()) return {};
  if (::unlink(connection->kept_token.c_str()) == 0 || errno == ENOENT) return {};
  return file_error(connection->kept_token, errno);
}

}  // namespace imctl::host::cli
