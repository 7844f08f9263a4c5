// How far long work is: a bar on a terminal, now and then a line elsewhere.
#ifndef IMCTL_HOST_CLI_PROGRESS_H
#define IMCTL_HOST_CLI_PROGRESS_H

#include <google/protobuf/message.h>

#include <chrono>
#include <memory>
#include <ostream>
#include <string>

#include "cli/terminal.h"

namespace imctl::host::cli {

// Shows numbers; knows nothing of calls.
class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  // `width`: columns of the terminal that `out` is; 0: it is none. `bytes`: what is counted.
  Progress(std::ostream& out, size_t width, bool bytes, Clock::time_point now);
  // Takes the bar off the screen.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `total` 0: nobody knows.
  void show(uint64_t done, uint64_t total, Clock::time_point now);
  // At the end, however it came: where there is no bar, the last line.
  void finish(Clock::time_point now);

 private:
  std::string amount(uint64_t n) const;
  std::string text(Clock::time_point now) const;

  std::ostream& out_;
  size_t width_;
  bool bytes_;
  Clock::time_point start_;
  Clock::time_point shown_;
  bool any_ = false;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
  std::unique_ptr<TerminalChange> bar_;
};

// The fields of a reply that Verb.progress names.
struct ProgressFields {
  const google::protobuf::FieldDescriptor* done = nullptr;  // nullptr: there are none
  const google::protobuf::FieldDescriptor* total = nullptr;
};
ProgressFields progress_fields(const google::protobuf::Descriptor* reply,
                               const std::string& option);
// A whole number that is not negative; else 0.
uint64_t number_at(const google::protobuf::Message& reply,
                   const google::protobuf::FieldDescriptor* field);

}  // namespace imctl::host::cli

#endif  // IMCTL_HOST_CLI_PROGRESS_H
