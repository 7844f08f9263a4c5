#include "cli/app.h"

#include <algorithm>
#include <set>
#include <utility>

#include "cli/confirm.h"
#include "cli/help.h"
#include "cli/host_program.h"
#include "cli/local_verbs.h"
#include "cli/suggest.h"
#include "cli/text.h"
#include "cli/verb_call.h"
#include "road/code_name.h"

namespace imctl::host::cli {
namespace {

// The words before the first flag.
std::vector<std::string> leading_words(const std::vector<std::string>& tokens) {
  auto end = std::find_if(tokens.begin(), tokens.end(),
                          [](const std::string& token) { return token.starts_with('-'); });
  return {tokens.begin(), end};
}

bool begins(const std::vector<std::string>& path, const std::vector<std::string>& words) {
  return words.size() <= path.size() && std::equal(words.begin(), words.end(), path.begin());
}

// What "imctl: " and the like begin with.
std::string says(const Terminal& terminal) { return red("imctl:", terminal.err_color) + " "; }

// An error of the host's own doing, which its log may explain.
bool is_odd(imctl_code code) {
  return code == IMCTL_INTERNAL || code == IMCTL_UNKNOWN || code == IMCTL_DATA_LOSS ||
         code == IMCTL_UNAVAILABLE;
}

// Is it worth trying again? A host that stops cuts calls off in several ways.
bool may_pass(imctl_code code) {
  return is_odd(code) || code == IMCTL_CANCELLED || code == IMCTL_DEADLINE_EXCEEDED ||
         code == IMCTL_RESOURCE_EXHAUSTED || code == IMCTL_ABORTED;
}

// May the call be made again and again?
bool only_reads(const google::protobuf::MethodDescriptor* method) {
  return !method->client_streaming() && !method->server_streaming() &&
         method->options().idempotency_level() == google::protobuf::MethodOptions::NO_SIDE_EFFECTS;
}

constexpr std::chrono::seconds kWatchInterval(2);

// What stands between two rounds that are printed one after another.
std::string between_rounds(Format format) {
  if (format == Format::kYaml) return "---\n";
  return format == Format::kTable || format == Format::kWide ? "\n" : "";
}

}  // namespace

App::App(Terminal terminal, OpenTransport open)
    : terminal_(std::move(terminal)), session_(std::move(open)) {}

App::~App() = default;

int App::run(const std::vector<std::string>& arguments) {
  Result<Flags> flags = parse_flags(arguments);
  if (!flags.ok()) return usage("", flags.status().message(), "");
  flags_ = std::move(*flags);
  int code = dispatch();
  session_.close();  // an embedded host stops here
  terminal_.out.flush();
  if (!terminal_.out && code == kDone) {
    terminal_.err << says(terminal_) << "standard output cannot be written to\n";
    return kFailed;
  }
  return code;
}

int App::run_method(const VerbEntry& verb, const std::vector<std::string>& tokens) {
  if (!flags_.output) flags_.output = Format::kJson;
  return run_verb(verb, tokens);
}

int App::run_line(const std::vector<std::string>& words) {
  Result<Flags> flags = parse_flags(words);
  if (!flags.ok()) return usage("", flags.status().message(), "");
  if (!flags->server.empty() || !flags->context.empty() || !flags->config.empty() ||
      flags->embedded || !flags->set.empty()) {
    return usage("", "all lines go to the same host: name it to `imctl run` itself", "run");
  }
  Flags own = std::exchange(flags_, std::move(*flags));
  flags_.yes = flags_.yes || own.yes;
  flags_.dry_run = flags_.dry_run || own.dry_run;
  flags_.verbose = flags_.verbose || own.verbose;
  if (!flags_.output) flags_.output = own.output;
  if (flags_.timeout.count() == 0) flags_.timeout = own.timeout;
  if (flags_.call_id.empty()) flags_.call_id = own.call_id;
  running_ = true;
  int code = dispatch();
  running_ = false;
  flags_ = std::move(own);
  return code;
}

int App::dispatch() {
  if (flags_.version) {
    terminal_.out << version_line() << '\n';
    return kDone;
  }
  std::vector<std::string> words = leading_words(flags_.rest);
  bool asks_help = flags_.help;
  if (!words.empty() && words.front() == "help") {
    asks_help = true;
    words.erase(words.begin());
  }
  if (asks_help || flags_.rest.empty()) return help(words);
  if (words.empty()) {
    const std::string& flag = flags_.rest.front();
    std::string bare = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
    return usage("",
                 "no such flag " + clean_line(flag) +
                     did_you_mean(bare.substr(0, bare.find('=')), flag_names()),
                 "");
  }

  const LocalVerb* local = find_local_verb(words);
  bool takes_settings = flags_.embedded || (local != nullptr && local->takes_settings);
  if (!flags_.set.empty() && !takes_settings) {
    return usage(
        "", "--set is for `imctl serve` and --embedded: a running host has its settings already",
        "");
  }
  if (local != nullptr) {
    if (running_ && (local->run == nullptr || local->run == run_lines))
      return usage(local->path, "cannot be a line of `imctl run`", "run");
    return run_local(*local);
  }

  Status status = session_.connect(flags_);
  if (!status.ok()) {
    // A word that is nearly one of ours is more likely a mistake than a wish for a host.
    std::string near =
        status.code() == IMCTL_UNAVAILABLE ? nearest(words.front(), local_nouns()) : "";
    int code = fail(words.front() + (words.size() > 1 ? " " + words[1] : ""), status);
    if (!near.empty() && near != words.front()) {
      terminal_.err << "Did you mean `imctl " << near << "`?\n";
    }
    return code;
  }
  const VerbEntry* verb = session_.catalog()->find(words);
  if (verb == nullptr) return unknown(words);
  std::vector<std::string> rest(
      flags_.rest.begin() + static_cast<std::ptrdiff_t>(verb->path.size()), flags_.rest.end());
  return run_verb(*verb, rest);
}

int App::run_local(const LocalVerb& local) {
  if (local.run == nullptr) return fail(local.path, become_host_program());
  size_t own = split_words(local.path).size();
  std::vector<std::string> rest(flags_.rest.begin() + static_cast<std::ptrdiff_t>(own),
                                flags_.rest.end());
  LocalCall call{local,
                 flags_,
                 std::move(rest),
                 terminal_.out,
                 terminal_.err,
                 terminal_,
                 session_,
                 [this](const std::vector<std::string>& words) { return run_line(words); },
                 [this](const VerbEntry& verb, const std::vector<std::string>& tokens) {
                   return run_method(verb, tokens);
                 },
                 [this] { terminal_.in = -1; }};
  Status status = local.run(call);
  if (status.ok()) return call.code;
  if (call.usage) return usage(local.path, status.message(), local.path);
  return fail(local.path, status);
}

int App::help(const std::vector<std::string>& words) {
  size_t width = terminal_.width == 0 ? 100 : std::clamp<size_t>(terminal_.width, 40, 100);
  if (const LocalVerb* local = find_local_verb(words)) {
    terminal_.out << local_help(*local, width);
    return kDone;
  }
  Status status = session_.connect_or_remember(flags_);
  if (!status.ok() && !words.empty()) return fail("help", status);
  Catalog* catalog = session_.catalog();
  if (catalog != nullptr && !words.empty()) {
    const VerbEntry* verb = catalog->find(words);
    if (verb != nullptr && verb->path.size() == words.size()) {
      Result<std::string> text = verb_help(*catalog, *verb, width);
      if (!text.ok()) return fail("help", text.status());
      terminal_.out << *text;
      return kDone;
    }
  }
  std::string text = list_help(catalog, words, width);
  if (text.empty()) return unknown(words);
  terminal_.out << text;
  if (!status.ok()) {
    terminal_.out << '\n'
                  << wrap("The verbs of modules are not shown: " + status.message(), 0, width);
  }
  return kDone;
}

int App::unknown(const std::vector<std::string>& words) {
  Catalog* catalog = session_.catalog();
  std::vector<std::vector<std::string>> paths = local_paths();
  for (const VerbEntry& verb : catalog->verbs()) paths.push_back(verb.path);
  // As far as the words lead somewhere.
  std::vector<std::string> known;
  std::set<std::string> next;
  for (size_t n = 0; n < words.size(); ++n) {
    std::vector<std::string> prefix(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(n));
    std::set<std::string> here;
    for (const auto& path : paths) {
      if (path.size() > n && begins(path, prefix)) here.insert(path[n]);
    }
    if (here.empty()) break;
    known = prefix;
    next = here;
    if (!here.contains(words[n])) {
      std::vector<std::string> choices(next.begin(), next.end());
      std::string what = join(known, " ");
      std::string near = did_you_mean(words[n], choices);
      std::string message = "there is no `" + clean_line(words[n]) + "`" + near;
      if (near.empty()) message += "; there is " + join(choices, ", ");
      return usage(what, message, what);
    }
  }
  // All words lead somewhere, but not to a verb.
  std::string text = list_help(catalog, words, 100);
  terminal_.err << says(terminal_) << join(words, " ") << ": which verb?\n\n" << text;
  return kUsage;
}

int App::run_verb(const VerbEntry& verb, const std::vector<std::string>& tokens) {
  Result<const google::protobuf::MethodDescriptor*> method = session_.catalog()->method(verb);
  if (!method.ok()) return fail(verb.words(), method.status());
  bool table = flags_.format() == Format::kTable || flags_.format() == Format::kWide;
  bool by_itself = verb.verb.watch() && terminal_.width > 0 && table && only_reads(*method);
  std::chrono::nanoseconds interval =
      flags_.watch.value_or(by_itself ? kWatchInterval : std::chrono::nanoseconds(0));
  if (interval.count() == 0) {
    VerbCall call(*method, verb.verb, flags_, terminal_);
    Status status = call.prepare(tokens);
    if (!status.ok()) return usage(verb.words(), status.message(), verb.words());
    if (!verb.verb.confirm().empty() && !flags_.yes && !flags_.dry_run) {
      Result<bool> yes = confirm(terminal_, call.fill_in(verb.verb.confirm()));
      if (!yes.ok()) return usage(verb.words(), yes.status().message(), verb.words());
      if (!*yes) {
        terminal_.err << says(terminal_) << verb.words() << ": nothing was done\n";
        return kFailed;
      }
    }
    return call_verb(verb, call, terminal_).code;
  }
  if (!only_reads(*method)) {
    return usage(verb.words(), "--watch is for verbs that only read, and give one reply",
                 verb.words());
  }
  {
    // Mistakes are told before the screen is taken.
    VerbCall call(*method, verb.verb, flags_, terminal_);
    Status status = call.prepare(tokens);
    if (status.ok() && call.reads_standard_input()) {
      status = Status(IMCTL_INVALID_ARGUMENT,
                      "--watch makes the call again and again: standard input is there only once");
    }
    if (!status.ok()) return usage(verb.words(), status.message(), verb.words());
  }
  return watch(terminal_, session_.interrupt(), interval, "imctl " + join(flags_.rest, " "),
               between_rounds(flags_.format()), [&](const Terminal& terminal) -> Round {
                 VerbCall call(*method, verb.verb, flags_, terminal);
                 Status status = call.prepare(tokens);
                 if (!status.ok()) return {fail(terminal, verb.words(), status), false};
                 return call_verb(verb, call, terminal);
               });
}

Round App::call_verb(const VerbEntry& verb, VerbCall& call, const Terminal& terminal) {
  VerbOutcome outcome = call.run(session_.transport(), session_.interrupt());
  terminal.out.flush();
  std::string before = says(terminal) + verb.words() + ": ";
  if (outcome.usage) {
    terminal.err << before << outcome.status.message() << '\n';
    return {kUsage, false};
  }
  if (!outcome.status.ok()) {
    bool again = may_pass(outcome.status.code());
    int code = fail(terminal, verb.words(), outcome.status);
    if (outcome.done == 0 || code == kInterrupted) return {code, again};
    terminal.err << before << "that was request " << outcome.done + 1
                 << " of the file; those before it were carried out\n";
    return {kPartlyDone, false};
  }
  if (!outcome.partly.empty()) {
    terminal.err << before << outcome.partly << '\n';
    return {kPartlyDone, false};
  }
  if (outcome.found_none) terminal.err << "none found\n";
  if (flags_.dry_run) terminal.err << "dry run: nothing was changed\n";
  return {kDone, false};
}

int App::fail(const std::string& what, const Status& status) {
  return fail(terminal_, what, status);
}

int App::fail(const Terminal& terminal, const std::string& what, const Status& status) {
  terminal.out.flush();
  terminal.err << says(terminal) << what << ": ";
  if (session_.interrupted()) {
    terminal.err << "interrupted\n";
    return kInterrupted;
  }
  terminal.err << code_name(status.code()) << ": " << status.message();
  std::string id = session_.call_id();
  if (!id.empty() && (flags_.verbose || is_odd(status.code()))) {
    terminal.err << " (call " << clean_line(id) << ")";
  }
  terminal.err << '\n';
  return exit_code(status.code());
}

int App::usage(const std::string& what, const std::string& message, const std::string& help_for) {
  terminal_.out.flush();
  terminal_.err << says(terminal_) << (what.empty() ? "" : what + ": ") << message
                << "\nTry `imctl " << (help_for.empty() ? "" : help_for + " ") << "--help`.\n";
  return kUsage;
}

}  // namespace imctl::host::cli
