// One verb being carried out: requests out, replies printed.
#ifndef IMCTL_HOST_CLI_VERB_CALL_H
#define IMCTL_HOST_CLI_VERB_CALL_H

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/printer.h"
#include "cli/progress.h"
#include "cli/request_source.h"
#include "cli/terminal.h"
#include "cli/transport.h"

namespace imctl::host::cli {

struct VerbOutcome {
  Status status;
  bool usage = false;       // the error is the request's, found here
  size_t done = 0;          // calls that went well before the one that did not
  std::string partly;       // of a call that went well: what it left undone, in words
  bool found_none = false;  // it was to list something, and there was nothing
};

class VerbCall {
 public:
  VerbCall(const google::protobuf::MethodDescriptor* method, const imctl::Verb& verb,
           const Flags& flags, const Terminal& terminal);

  // Reads the command line. Errors are of usage.
  Status prepare(const std::vector<std::string>& tokens);

  // A text with what the line gives for "{field}" in it. After prepare().
  std::string fill_in(const std::string& text) const;

  // Does it take requests or a file from there? After prepare().
  bool reads_standard_input() const;

  // A method that takes one request is called once for every document of -f, until one call fails.
  VerbOutcome run(Transport& transport, InterruptWatch& interrupt);

 private:
  // What outlives the call if standard input is still being waited for.
  struct Requests;

  VerbOutcome run_stream(Transport& transport, InterruptWatch& interrupt);
  Status call(Transport& transport, InterruptWatch& interrupt,
              const std::function<std::optional<std::string>()>& next_request);
  bool take(const std::string& bytes);
  void print_last(bool done);
  // What the reply says is missing of what the request asked for; empty if all was done, or if the
  // verb has no `acks`.
  std::string undone(const std::string& request) const;

  const google::protobuf::MethodDescriptor* method_;
  const imctl::Verb& verb_;
  const Flags& flags_;
  Terminal terminal_;
  std::shared_ptr<Requests> requests_;
  google::protobuf::DynamicMessageFactory replies_;
  Printer printer_;
  bool bad_reply_ = false;
  // Replies that only say how far the work is; the last is printed at the end.
  ProgressFields progress_fields_;
  std::unique_ptr<Progress> progress_;
  Progress::Clock::time_point started_;
  std::unique_ptr<google::protobuf::Message> last_reply_;
};

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_VERB_CALL_H
