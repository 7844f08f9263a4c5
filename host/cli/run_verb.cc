// `imctl run`: many command lines over one connection.
#include <utility>

#include "cli/documents.h"
#include "cli/exit_code.h"
#include "cli/local_verbs.h"
#include "cli/words.h"

namespace imctl::host::cli {

Status run_lines(LocalCall& call) {
  Result<LocalArguments> arguments = read_arguments(call, 1, 1);
  if (!arguments.ok()) return arguments.status();
  bool keep_going = arguments->has("keep-going");
  Status status = call.session.connect(call.flags);
  if (!status.ok()) return status;
  const std::string& file = arguments->words.front();
  DocumentReader reader(file);
  if (file == "-") call.take_standard_input();
  size_t number = 0;
  size_t done = 0;
  size_t failed = 0;
  int last = kDone;
  while (true) {
    std::string text;
    size_t first = number + 1;
    bool more = true;
    while (more) {
      Result<std::optional<std::string>> line = reader.next_line();
      if (!line.ok()) return line.status();
      if (!*line) break;
      ++number;
      // As a shell has it, a backslash at the end goes on in the next line.
      more = (*line)->ends_with('\\');
      if (more) (*line)->pop_back();
      text += **line;
    }
    if (number < first) break;
    Result<std::vector<std::string>> words = shell_words(text);
    if (words.ok() && words->empty()) continue;
    int code = kUsage;
    if (!words.ok()) {
      call.err << "imctl: " << words.status().message() << '\n';
    } else {
      if (words->front() == "imctl") words->erase(words->begin());
      code = words->empty() ? kUsage : call.run_line(*words);
    }
    if (code == kDone) {
      ++done;
      continue;
    }
    ++failed;
    last = code;
    call.err << "imctl: run: " << reader.name() << ":" << first << ": exit code " << code;
    bool stop = !keep_going || call.session.interrupted();
    call.err << (stop ? "; what follows was not carried out\n" : "\n");
    if (stop) break;
  }
  call.code = failed == 0 ? kDone : done > 0 && last != kInterrupted ? kPartlyDone : last;
  return {};
}

}  // namespace imctl::host::cli
