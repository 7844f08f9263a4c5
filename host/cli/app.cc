#include "cli/app.h"

#include <algorithm>
#include <set>

#include "cli/catalog_source.h"
#include "cli/help.h"
#include "cli/local_verbs.h"
#include "cli/suggest.h"
#include "cli/text.h"
#include "cli/verb_call.h"

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

}  // namespace

App::App(Terminal terminal, OpenTransport open) : terminal_(terminal), open_(std::move(open)) {}

App::~App() = default;

int App::run(const std::vector<std::string>& arguments) {
  Result<Flags> flags = parse_flags(arguments);
  if (!flags.ok()) return usage("", flags.status().message(), "");
  flags_ = std::move(*flags);
  int code = dispatch();
  transport_.reset();  // an embedded host stops here
  terminal_.out.flush();
  if (!terminal_.out && code == kDone) {
    terminal_.err << "imctl: standard output cannot be written to\n";
    return kFailed;
  }
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
    size_t own = split_words(local->path).size();
    std::vector<std::string> rest(flags_.rest.begin() + static_cast<std::ptrdiff_t>(own),
                                  flags_.rest.end());
    LocalCall call{flags_, std::move(rest), terminal_.out, terminal_.err};
    Status status = local->run(call);
    if (status.ok()) return kDone;
    if (call.usage) return usage(local->path, status.message(), local->path);
    return fail(local->path, status);
  }

  Status status = connect();
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
  const VerbEntry* verb = catalog_->find(words);
  if (verb == nullptr) return unknown(words);
  std::vector<std::string> rest(
      flags_.rest.begin() + static_cast<std::ptrdiff_t>(verb->path.size()), flags_.rest.end());
  return run_verb(*verb, rest);
}

Status App::connect() {
  interrupt_ = std::make_unique<InterruptWatch>();
  Result<std::unique_ptr<Transport>> opened = open_(flags_);
  if (!opened.ok()) return opened.status();
  transport_ = std::move(*opened);
  std::unique_ptr<CatalogCache> cache;
  if (!flags_.embedded) cache = std::make_unique<CatalogCache>(transport_->where());
  interrupt_->set_call(transport_.get());
  Result<CatalogReply> reply = fetch_catalog(*transport_, cache.get(), flags_.timeout);
  interrupt_->set_call(nullptr);
  if (!reply.ok()) return reply.status();
  Result<Catalog> made = Catalog::make(reply->manifests);
  if (!made.ok()) return made.status();
  catalog_ = std::make_unique<Catalog>(std::move(*made));
  return {};
}

Status App::connect_or_remember() {
  Status status = connect();
  if (status.ok() || transport_ == nullptr || flags_.embedded) return status;
  CatalogCache cache(transport_->where());
  std::optional<CatalogReply> known = cache.load();
  if (!known) known = cache.load_latest();
  if (!known) return status;
  Result<Catalog> made = Catalog::make(known->manifests);
  if (!made.ok()) return status;
  catalog_ = std::make_unique<Catalog>(std::move(*made));
  return {};
}

int App::help(const std::vector<std::string>& words) {
  if (const LocalVerb* local = find_local_verb(words)) {
    terminal_.out << local_help(*local);
    return kDone;
  }
  Status status = connect_or_remember();
  if (!status.ok() && !words.empty()) return fail("help", status);
  size_t width = terminal_.width == 0 ? 100 : std::clamp<size_t>(terminal_.width, 40, 100);
  if (catalog_ != nullptr && !words.empty()) {
    const VerbEntry* verb = catalog_->find(words);
    if (verb != nullptr && verb->path.size() == words.size()) {
      Result<std::string> text = verb_help(*catalog_, *verb, width);
      if (!text.ok()) return fail("help", text.status());
      terminal_.out << *text;
      return kDone;
    }
  }
  std::string text = list_help(catalog_.get(), words, width);
  if (text.empty()) return unknown(words);
  terminal_.out << text;
  if (!status.ok()) {
    terminal_.out << '\n'
                  << wrap("The verbs of modules are not shown: " + status.message(), 0, width);
  }
  return kDone;
}

int App::unknown(const std::vector<std::string>& words) {
  std::vector<std::vector<std::string>> paths = local_paths();
  for (const VerbEntry& verb : catalog_->verbs()) paths.push_back(verb.path);
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
  std::string text = list_help(catalog_.get(), words, 100);
  terminal_.err << "imctl: " << join(words, " ") << ": which verb?\n\n" << text;
  return kUsage;
}

int App::run_verb(const VerbEntry& verb, const std::vector<std::string>& tokens) {
  Result<const google::protobuf::MethodDescriptor*> method = catalog_->method(verb);
  if (!method.ok()) return fail(verb.words(), method.status());
  VerbCall call(*method, verb.verb, flags_, terminal_);
  Status status = call.prepare(tokens);
  if (!status.ok()) return usage(verb.words(), status.message(), verb.words());
  interrupt_->set_call(nullptr);
  VerbOutcome outcome = call.run(*transport_, *interrupt_);
  if (outcome.usage) {
    terminal_.out.flush();
    terminal_.err << "imctl: " << verb.words() << ": " << outcome.status.message() << '\n';
    return kUsage;
  }
  if (!outcome.status.ok()) {
    int code = fail(verb.words(), outcome.status);
    if (outcome.done == 0 || code == kInterrupted) return code;
    terminal_.err << "imctl: " << verb.words() << ": that was request " << outcome.done + 1
                  << " of the file; those before it were carried out\n";
    return kPartlyDone;
  }
  if (!outcome.partly.empty()) {
    terminal_.out.flush();
    terminal_.err << "imctl: " << verb.words() << ": " << outcome.partly << '\n';
    return kPartlyDone;
  }
  if (outcome.found_none) terminal_.err << "none found\n";
  if (flags_.dry_run) terminal_.err << "dry run: nothing was changed\n";
  return kDone;
}

int App::fail(const std::string& what, const Status& status) {
  terminal_.out.flush();
  terminal_.err << "imctl: " << what << ": ";
  if (interrupt_ != nullptr && interrupt_->interrupted()) {
    terminal_.err << "interrupted\n";
    return kInterrupted;
  }
  terminal_.err << code_name(status.code()) << ": " << status.message() << '\n';
  return exit_code(status.code());
}

int App::usage(const std::string& what, const std::string& message, const std::string& help_for) {
  terminal_.out.flush();
  terminal_.err << "imctl: " << (what.empty() ? "" : what + ": ") << message << "\nTry `imctl "
                << (help_for.empty() ? "" : help_for + " ") << "--help`.\n";
  return kUsage;
}

}  // namespace imctl::host::cli
