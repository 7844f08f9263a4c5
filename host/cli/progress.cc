#include "cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "cli/human.h"
#include "cli/text.h"

namespace imctl::host::cli {
namespace {

using google::protobuf::FieldDescriptor;

constexpr std::chrono::milliseconds kRedraw(100);
constexpr std::chrono::seconds kLine(10);
constexpr std::string_view kWipe = "\r\x1b[K";

std::string bar(double part, size_t width) {
  auto full = static_cast<size_t>(std::lround(part * static_cast<double>(width)));
  return "[" + std::string(full, '#') + std::string(width - full, ' ') + "]";
}

}  // namespace

Progress::Progress(std::ostream& out, size_t width, bool bytes, Clock::time_point now)
    : out_(out), width_(width), bytes_(bytes), start_(now), shown_(now) {}

Progress::~Progress() { bar_.reset(); }

std::string Progress::amount(uint64_t n) const {
  return bytes_ ? human_bytes(n) : std::to_string(n);
}

std::string Progress::text(Clock::time_point now) const {
  double seconds = std::chrono::duration<double>(now - start_).count();
  double rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0;
  std::string line = amount(done_);
  if (total_ > 0) line += " of " + amount(total_);
  if (rate > 0) {
    line += ", " +
            (bytes_ ? human_bytes(static_cast<uint64_t>(rate))
                    : human_number(rate < 10 ? rate : std::floor(rate))) +
            "/s";
  }
  if (rate > 0 && total_ > done_) {
    double left = static_cast<double>(total_ - done_) / rate;
    line +=
        ", " + human_duration(static_cast<int64_t>(std::ceil(std::min(left, 1e9))), 0) + " left";
  }
  return line;
}

void Progress::show(uint64_t done, uint64_t total, Clock::time_point now) {
  done_ = done;
  total_ = total;
  bool first = !any_;
  any_ = true;
  if (!first && now - shown_ < (width_ > 0 ? std::chrono::nanoseconds(kRedraw) : kLine)) return;
  // Elsewhere nothing is said of what is over soon.
  if (first && width_ == 0) return;
  shown_ = now;
  if (width_ == 0) {
    out_ << text(now) << '\n' << std::flush;
    return;
  }
  if (bar_ == nullptr) {
    bar_ = std::make_unique<TerminalChange>(
        [] { (void)!::write(STDERR_FILENO, kWipe.data(), kWipe.size()); });
  }
  std::string line = text(now);
  size_t room = width_ > line.size() + 9 ? width_ - line.size() - 9 : 0;
  if (total_ > 0 && room >= 10) {
    double part = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    std::string percent = std::to_string(static_cast<int>(part * 100)) + "%";
    line = bar(part, std::min<size_t>(room, 40)) + " " + percent + " " + line;
  }
  out_ << kWipe << fit(line, width_ - 1) << std::flush;
}

void Progress::finish(Clock::time_point now) {
  if (any_ && width_ == 0) out_ << text(now) << '\n' << std::flush;
  bar_.reset();
  any_ = false;
}

ProgressFields progress_fields(const google::protobuf::Descriptor* reply,
                               const std::string& option) {
  size_t slash = option.find('/');
  auto number = [&](const std::string& name) -> const FieldDescriptor* {
    const FieldDescriptor* field = reply->FindFieldByName(name);
    if (field == nullptr || field->is_repeated()) return nullptr;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_INT64:
      case FieldDescriptor::CPPTYPE_UINT32:
      case FieldDescriptor::CPPTYPE_UINT64: return field;
      default: return nullptr;
    }
  };
  return {number(option.substr(0, slash)),
          slash == std::string::npos ? nullptr : number(option.substr(slash + 1))};
}

uint64_t number_at(const google::protobuf::Message& reply, const FieldDescriptor* field) {
  if (field == nullptr) return 0;
  const auto* reflection = reply.GetReflection();
  auto positive = [](int64_t n) { return n < 0 ? 0 : static_cast<uint64_t>(n); };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: return positive(reflection->GetInt32(reply, field));
    case FieldDescriptor::CPPTYPE_INT64: return positive(reflection->GetInt64(reply, field));
    case FieldDescriptor::CPPTYPE_UINT32: return reflection->GetUInt32(reply, field);
    case FieldDescriptor::CPPTYPE_UINT64: return reflection->GetUInt64(reply, field);
    default: return 0;
  }
}

}  // namespace imctl::host::cli
