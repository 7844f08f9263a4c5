#include "cli/verb_call.h"

#include <mutex>
#include <utility>

#include "cli/field_value.h"
#include "cli/session.h"

namespace imctl::host::cli {

struct VerbCall::Requests {
  Requests(const google::protobuf::MethodDescriptor* method, const imctl::Verb& verb)
      : arguments(method->input_type(), verb) {}

  Arguments arguments;
  google::protobuf::DynamicMessageFactory factory;
  std::unique_ptr<RequestSource> source;

  std::mutex mutex;
  bool over = false;  // the call is: what the transport was may be gone
  Status error;       // why the source ended early
};

VerbCall::VerbCall(const google::protobuf::MethodDescriptor* method, const imctl::Verb& verb,
                   const Flags& flags, const Terminal& terminal)
    : method_(method),
      verb_(verb),
      flags_(flags),
      terminal_(terminal),
      requests_(std::make_shared<Requests>(method, verb)),
      printer_(method->output_type(), verb, view_of(flags), terminal) {
  // Scripts that take a line a reply want all of them.
  if (method->server_streaming() && !verb.progress().empty() &&
      flags.format() != Format::kJsonLines) {
    progress_fields_ = progress_fields(method->output_type(), verb.progress());
  }
}

Status VerbCall::prepare(const std::vector<std::string>& tokens) {
  if (!printer_.check().ok()) return printer_.check();
  Result<Given> given = requests_->arguments.parse(tokens);
  if (!given.ok()) return given.status();
  if (terminal_.in < 0 && takes_standard_input(*given, *method_)) {
    return {IMCTL_INVALID_ARGUMENT,
            "standard input holds the lines that are carried out: give a file instead of -"};
  }
  Status status = requests_->arguments.read_secrets(&*given);
  if (!status.ok()) return status;
  requests_->source = std::make_unique<RequestSource>(
      method_, requests_->arguments, std::move(*given), &requests_->factory, terminal_.in);
  // What may be done twice means something by itself: `config reload`.
  bool harmless = method_->options().idempotency_level() !=
                  google::protobuf::MethodOptions::IDEMPOTENCY_UNKNOWN;
  if (requests_->source->says_nothing() && !harmless) {
    bool places = verb_.positional_size() > 0;
    return {IMCTL_INVALID_ARGUMENT, std::string("there is nothing to do: ") +
                                        (places ? "name it" : "give the request with flags") +
                                        " or with -f FILE (-f - for standard input)"};
  }
  return {};
}

std::string VerbCall::fill_in(const std::string& text) const {
  return requests_->source->fill_in(text);
}

bool VerbCall::reads_standard_input() const { return requests_->source->reads_standard_input(); }

VerbOutcome VerbCall::run(Transport& transport, InterruptWatch& interrupt) {
  if (method_->client_streaming()) return run_stream(transport, interrupt);
  VerbOutcome outcome;
  while (true) {
    Result<std::optional<std::string>> request = requests_->source->next();
    if (!request.ok()) {
      outcome.status = request.status();
      outcome.usage = outcome.done == 0;
      return outcome;
    }
    if (!*request) break;
    std::string sent = **request;
    outcome.status =
        call(transport, interrupt, [&] { return std::exchange(*request, std::nullopt); });
    if (!outcome.status.ok()) return outcome;
    outcome.partly = undone(sent);
    // What follows may stand on what was left undone.
    if (!outcome.partly.empty()) return outcome;
    ++outcome.done;
  }
  outcome.found_none = printer_.found_none();
  return outcome;
}

VerbOutcome VerbCall::run_stream(Transport& transport, InterruptWatch& interrupt) {
  VerbOutcome outcome;
  outcome.status = call(transport, interrupt,
                        [requests = requests_, way = &transport]() -> std::optional<std::string> {
                          Result<std::optional<std::string>> request = requests->source->next();
                          if (request.ok()) return std::move(*request);
                          // A stream that was cut short must not look complete to the host.
                          std::lock_guard<std::mutex> lock(requests->mutex);
                          if (requests->over) return std::nullopt;
                          requests->error = request.status();
                          way->cancel();
                          return std::nullopt;
                        });
  std::lock_guard<std::mutex> lock(requests_->mutex);
  requests_->over = true;
  if (!requests_->error.ok()) {
    outcome.status = requests_->error;
    outcome.usage = true;
  }
  outcome.found_none = outcome.status.ok() && printer_.found_none();
  return outcome;
}

Status VerbCall::call(Transport& transport, InterruptWatch& interrupt,
                      const std::function<std::optional<std::string>()>& next_request) {
  CallRequest request;
  request.method = "/" + method_->service()->full_name() + "/" + method_->name();
  request.client_streams = method_->client_streaming();
  request.server_streams = method_->server_streaming();
  request.dry_run = flags_.dry_run;
  request.timeout = flags_.timeout;
  request.call_id = flags_.call_id.empty() ? new_call_id() : flags_.call_id;
  interrupt.set_call(&transport);
  started_ = Progress::Clock::now();
  Status status = transport.call(request, next_request,
                                 [this](const std::string& bytes) { return take(bytes); });
  interrupt.set_call(nullptr);
  print_last(status.ok());
  if (bad_reply_) {
    return {IMCTL_DATA_LOSS, "the reply is not a valid " + method_->output_type()->full_name()};
  }
  if (!printer_.check().ok()) return printer_.check();
  // Nobody reads what is printed any more, so the call was ended from here.
  if (!terminal_.out) return {};
  return status;
}

bool VerbCall::take(const std::string& bytes) {
  std::unique_ptr<google::protobuf::Message> reply(
      replies_.GetPrototype(method_->output_type())->New());
  bad_reply_ = !reply->ParseFromString(bytes);
  last_reply_ = std::move(reply);
  if (bad_reply_) return false;
  if (printer_.is_file_of(*last_reply_)) {
    printer_.print(last_reply_.get());
    last_reply_.reset();
    if (!printer_.check().ok()) return false;
  } else if (progress_fields_.done == nullptr) {
    printer_.print(last_reply_.get());
  } else {
    if (progress_ == nullptr) {
      progress_ = std::make_unique<Progress>(terminal_.err, terminal_.err_width,
                                             is_size(progress_fields_.done), started_);
    }
    progress_->show(number_at(*last_reply_, progress_fields_.done),
                    number_at(*last_reply_, progress_fields_.total), Progress::Clock::now());
  }
  return terminal_.out.good();
}

void VerbCall::print_last(bool done) {
  // Whatever is printed next, an error too, begins a line of its own.
  if (progress_ != nullptr) progress_->finish(Progress::Clock::now());
  if (progress_fields_.done == nullptr || last_reply_ == nullptr || bad_reply_) return;
  // Of work that failed the last reply may be one of those about how far it was.
  if (done || printer_.shows_anything_of(*last_reply_)) printer_.print(last_reply_.get());
}

std::string VerbCall::undone(const std::string& request) const {
  size_t equals = verb_.acks().find('=');
  if (equals == std::string::npos || last_reply_ == nullptr) return {};
  const auto* count = method_->output_type()->FindFieldByName(verb_.acks().substr(0, equals));
  const auto* list = method_->input_type()->FindFieldByName(verb_.acks().substr(equals + 1));
  if (count == nullptr || list == nullptr || !list->is_repeated() ||
      count->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_UINT32) {
    return {};
  }
  std::unique_ptr<google::protobuf::Message> asked(
      requests_->factory.GetPrototype(method_->input_type())->New());
  if (!asked->ParseFromString(request)) return {};
  auto wanted = static_cast<uint32_t>(asked->GetReflection()->FieldSize(*asked, list));
  uint32_t done = last_reply_->GetReflection()->GetUInt32(*last_reply_, count);
  if (done >= wanted) return {};
  return "only the first " + std::to_string(done) + " of " + std::to_string(wanted) + " " +
         list->name() + " were taken; send the rest again to see why";
}

}  // namespace imctl::host::cli
