#include "cli/complete.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cli/arguments.h"
#include "cli/columns.h"
#include "cli/contexts.h"
#include "cli/field_value.h"
#include "cli/live_objects.h"
#include "cli/local_verbs.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

// The user waits with a finger on the key.
constexpr std::chrono::milliseconds kPatience(700);

// A flag that is known here, of every command or of a verb.
struct KnownFlag {
  std::string name;
  char short_name = 0;
  bool takes_value = false;  // the next word, if no "=" is there
  bool may_have_value = false;
  const google::protobuf::FieldDescriptor* field = nullptr;
  std::string kind;  // of a value that no field describes: "file", "context"
  std::string about;
};

std::string one_line(const std::string& text) {
  return clean_line(text.substr(0, text.find('\n')));
}

class Completer {
 public:
  Completer(Session& session, const std::vector<std::string>& words)
      : session_(session), words_(words) {}

  Completion run() {
    if (words_.empty()) return {};
    typed_ = words_.back();
    add_common_flags();
    if (words_.size() > 1 && words_.front() == "help") words_.erase(words_.begin());
    sort_out();
    if (!connect()) return {};
    find_verb();
    complete_last();
    return std::move(result_);
  }

 private:
  void add_common_flags() {
    for (const FlagInfo& info : common_flags()) {
      std::string value = info.value;
      KnownFlag flag{info.name,      info.short_name, !value.empty() && value[0] != '[',
                     !value.empty(), nullptr,         "common-" + std::string(info.name),
                     info.help};
      flags_.push_back(flag);
    }
  }

  const KnownFlag* flag_of(const std::string& word) const {
    if (word.size() < 2 || word[0] != '-') return nullptr;
    bool is_long = word[1] == '-';
    std::string name = word.substr(is_long ? 2 : 1);
    name = name.substr(0, name.find('='));
    for (const KnownFlag& flag : flags_) {
      if (is_long ? flag.name == name
                  : flag.short_name != 0 && name == std::string(1, flag.short_name))
        return &flag;
    }
    return nullptr;
  }
  static bool has_value(const std::string& word) { return word.find('=') != std::string::npos; }

  // What there is before the verb's own flags are known: its words, and where the host is.
  void sort_out() {
    std::vector<std::string> whole;
    for (size_t i = 0; i + 1 < words_.size(); ++i) {
      const std::string& word = words_[i];
      if (word == "--") break;
      const KnownFlag* flag = flag_of(word);
      if (flag == nullptr) {
        if (!word.starts_with('-') && (verb_words_.empty() || last_was_word_))
          verb_words_.push_back(word);
        last_was_word_ = !word.starts_with('-');
        continue;
      }
      bool next = flag->takes_value && !has_value(word);
      if (next && i + 2 >= words_.size()) break;  // its value is being typed
      whole.push_back(word);
      if (next) whole.push_back(words_[++i]);
    }
    Result<Flags> parsed = parse_flags(whole);
    if (parsed.ok()) line_ = std::move(*parsed);
    line_.timeout = kPatience;
    // Nobody wants a host to be opened by a key.
    line_.embedded = false;
  }

  bool connect() {
    if (find_local_verb(verb_words_) != nullptr && !needs_catalog()) return true;
    (void)session_.connect_or_remember(line_);
    return true;
  }
  bool needs_catalog() const {
    const LocalVerb* local = find_local_verb(verb_words_);
    std::string kind = local->completes;
    return kind == "verb" || kind == "method";
  }

  void find_verb() {
    local_ = find_local_verb(verb_words_);
    if (local_ != nullptr) {
      path_size_ = split_words(local_->path).size();
      for (const LocalFlag& flag : local_->flags) {
        flags_.push_back({flag.name, 0, flag.kind != nullptr, flag.kind != nullptr, nullptr,
                          flag.kind == nullptr ? "" : flag.kind, flag.help});
      }
      return;
    }
    if (session_.catalog() == nullptr) return;
    verb_ = session_.catalog()->find(verb_words_);
    if (verb_ == nullptr) return;
    Result<const google::protobuf::MethodDescriptor*> method = session_.catalog()->describe(*verb_);
    if (!method.ok()) {
      verb_ = nullptr;
      return;
    }
    method_ = *method;
    path_size_ = verb_->path.size();
    Arguments arguments(method_->input_type(), verb_->verb);
    for (const Argument& argument : arguments.all()) {
      if (argument.positional) {
        places_.push_back(argument.field);
        continue;
      }
      bool value = !takes_no_value(argument.field);
      flags_.push_back({argument.flag, argument.short_flag, value, true, argument.field, "",
                        one_line(comment_of(argument.field))});
    }
    flags_.push_back({"file", arguments.file_short() ? 'f' : '\0', true, true, nullptr, "file",
                      "the request as JSON or YAML"});
  }

  void complete_last() {
    size_t path = 0;
    size_t places = 0;
    bool only_places = false;
    const KnownFlag* pending = nullptr;
    for (size_t i = 0; i + 1 < words_.size(); ++i) {
      const std::string& word = words_[i];
      if (pending != nullptr) {
        pending = nullptr;
      } else if (!only_places && word == "--") {
        only_places = true;
      } else if (!only_places && word.size() > 1 && word[0] == '-') {
        const KnownFlag* flag = flag_of(word);
        if (flag != nullptr && flag->takes_value && !has_value(word)) pending = flag;
      } else if (path < path_size_ || (verb_ == nullptr && local_ == nullptr)) {
        ++path;
      } else {
        ++places;
      }
    }
    if (pending != nullptr) return values(*pending, "", typed_);
    if (!only_places && typed_.starts_with('-')) return flag_or_value();
    if (verb_ == nullptr && local_ == nullptr) return next_words();
    // "user" may be a verb and the noun of others.
    if (places == 0) next_words();
    if (local_ != nullptr) return kinds(local_->completes, "", typed_);
    if (places_.empty()) return;
    const auto* field = places_[std::min(places, places_.size() - 1)];
    if (places < places_.size() || field->is_repeated()) values_of(field, "", typed_);
  }

  void flag_or_value() {
    size_t equals = typed_.find('=');
    if (equals != std::string::npos) {
      const KnownFlag* flag = flag_of(typed_);
      if (flag != nullptr && flag->may_have_value)
        values(*flag, typed_.substr(0, equals + 1), typed_.substr(equals + 1));
      return;
    }
    for (const KnownFlag& flag : flags_) offer("", "--" + flag.name, flag.about, typed_);
  }

  void next_words() {
    std::map<std::string, std::string> next;
    auto look = [&](const std::vector<std::string>& path, const std::string& about) {
      if (path.size() <= verb_words_.size() ||
          !std::equal(verb_words_.begin(), verb_words_.end(), path.begin())) {
        return;
      }
      // Of a noun there is nothing to say but its verbs.
      bool last = path.size() == verb_words_.size() + 1;
      std::string& told = next[path[verb_words_.size()]];
      if (last) told = about;
    };
    for (const LocalVerb& verb : local_verbs()) {
      if (!verb.hidden) look(split_words(verb.path), verb.summary);
    }
    if (verb_words_.empty()) look({"help"}, "Explains a verb");
    if (Catalog* catalog = session_.catalog()) {
      for (const VerbEntry& verb : catalog->verbs()) {
        Result<const google::protobuf::MethodDescriptor*> method = catalog->describe(verb);
        look(verb.path, method.ok() ? summary(comment_of(*method)) : "");
      }
    }
    for (const auto& [word, about] : next) offer("", word, about, typed_);
  }

  void values(const KnownFlag& flag, const std::string& before, const std::string& typed) {
    if (flag.field != nullptr) return values_of(flag.field, before, typed);
    kinds(flag.kind, before, typed);
  }

  void kinds(const std::string& kind, const std::string& before, const std::string& typed) {
    if (kind == "file" || kind == "common-config") result_.files = true;
    if (kind == "context" || kind == "common-context") {
      for (const std::string& name : Contexts().names()) offer(before, name, "", typed);
    }
    if (kind == "common-output") {
      for (const std::string& name : format_names()) offer(before, name, "", typed);
    }
    if (kind == "shell") {
      for (const char* name : {"bash", "zsh", "fish"}) offer(before, name, "", typed);
    }
    if (kind == "common-columns" || kind == "common-sort-by") columns(kind, before, typed);
    Catalog* catalog = session_.catalog();
    if (catalog == nullptr) return;
    if (kind == "verb") {
      for (const VerbEntry& verb : catalog->verbs()) offer(before, join(verb.path, "."), "", typed);
    }
    if (kind == "method") {
      for (const std::string& name : catalog->method_names()) offer(before, name, "", typed);
    }
  }

  void columns(const std::string& kind, const std::string& before, const std::string& typed) {
    if (method_ == nullptr) return;
    const auto* row = method_->output_type();
    const auto* list = row->FindFieldByName(verb_->verb.rows());
    if (list != nullptr && list->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE)
      row = list->message_type();
    size_t comma = kind == "common-columns" ? typed.rfind(',') : std::string::npos;
    std::string done = comma == std::string::npos ? "" : typed.substr(0, comma + 1);
    std::vector<std::string> paths(verb_->verb.columns().begin(), verb_->verb.columns().end());
    for (const Column& column : columns_of(row, paths, true)) {
      offer(before + done, column.path, "", typed.substr(done.size()));
    }
  }

  void values_of(const google::protobuf::FieldDescriptor* field, const std::string& before,
                 const std::string& typed) {
    if (is_file(field)) result_.files = true;
    for (const std::string& name : choices(field)) offer(before, name, "", typed);
    std::string kind = names_kind(field);
    if (kind == "context") return kinds(kind, before, typed);
    if (kind.empty() || session_.catalog() == nullptr) return;
    for (const std::string& name : live_objects(session_, kind, typed, kPatience)) {
      offer(before, name, "", typed);
    }
  }

  void offer(const std::string& before, const std::string& text, const std::string& about,
             const std::string& typed) {
    if (!text.starts_with(typed) || text.empty() || clean_line(text) != text) return;
    if (seen_.insert(before + text).second)
      result_.candidates.push_back({before + text, one_line(about)});
  }

  Session& session_;
  std::vector<std::string> words_;
  std::string typed_;
  Flags line_;
  std::vector<std::string> verb_words_;  // as far as no flag is between them
  bool last_was_word_ = false;
  std::vector<KnownFlag> flags_;
  const LocalVerb* local_ = nullptr;
  const VerbEntry* verb_ = nullptr;
  const google::protobuf::MethodDescriptor* method_ = nullptr;
  std::vector<const google::protobuf::FieldDescriptor*> places_;
  size_t path_size_ = 0;
  std::set<std::string> seen_;
  Completion result_;
};

}  // namespace

Completion complete(Session& session, const std::vector<std::string>& words) {
  return Completer(session, words).run();
}

}  // namespace imctl::host::cli
