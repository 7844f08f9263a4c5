#include "storage_host.h"

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <utility>

namespace imctl::bench {
namespace {

constexpr char kPut[] = "/awakari.messages.Service/PutBatch";
constexpr char kGet[] = "/awakari.messages.Service/GetBatch";
constexpr char kAppend[] = "/imctl.storage.v1.Mailboxes/Append";
constexpr char kRead[] = "/imctl.storage.v1.Mailboxes/Read";

std::shared_ptr<Random> new_random() { return std::make_shared<Random>(); }

// That all messages are stored: `ackCount` and nothing else.
std::function<bool(const grpc::ByteBuffer&)> all_stored(size_t messages) {
  std::string wanted;
  append_number(&wanted, 1, messages);
  return [wanted](const grpc::ByteBuffer& reply) {
    grpc::Slice slice;
    return reply.DumpToSingleSlice(&slice).ok() &&
           std::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size()) == wanted;
  };
}

}  // namespace

StorageHost::StorageHost(std::string module, const std::vector<std::string>& settings)
    : module_(std::move(module)) {
  start(settings);
}

void StorageHost::start(const std::vector<std::string>& settings) {
  port_ = free_port();
  std::vector<std::string> command = serve_command(folder_.path(), port_, module_, IMCTL_MODULES);
  for (const std::string& setting : settings) command.insert(command.end(), {"--set", setting});
  process_.emplace(command);
  caller_ = std::make_unique<Caller>(address());
}

void StorageHost::restart(const std::vector<std::string>& settings) {
  process_.reset();
  start(settings);
}

std::string StorageHost::address() const { return "127.0.0.1:" + std::to_string(port_); }

Shape put_shape(size_t messages) {
  Template made = put_request(messages);
  return {kPut, made.bytes,
          [places = made.places, random = new_random()](char* request) {
            for (size_t place : places) Uuid::random(*random).write(request + place);
          },
          all_stored(messages)};
}

Shape numbered_put_shape(uint64_t* next) {
  Template made = put_request(kBatch);
  return {kPut, made.bytes,
          [places = made.places, next](char* request) {
            for (size_t place : places) Uuid::numbered((*next)++).write(request + place);
          },
          all_stored(kBatch)};
}

Shape get_shape(uint64_t stored) {
  Template made = get_request(kBatch);
  return {
      kGet, made.bytes,
      [places = made.places, stored, random = new_random()](char* request) {
        for (size_t place : places) {
          Uuid::numbered(random->below(stored)).write(request + place);
        }
      },
      // All are there: a tag and two bytes of length each.
      [](const grpc::ByteBuffer& reply) { return reply.Length() == kBatch * (kMessageBytes + 3); }};
}

Shape append_shape(size_t recipients, uint64_t mailboxes) {
  Template made = append_request(recipients);
  return {kAppend, made.bytes,
          [places = made.places, mailboxes, random = new_random()](char* request) {
            Uuid::random(*random).write(request + places[0]);
            // No two the same: some that follow each other.
            uint64_t first = random->below(mailboxes);
            for (size_t i = 1; i < places.size(); ++i) {
              write_mailbox(request + places[i], (first + i) % mailboxes);
            }
          },
          [](const grpc::ByteBuffer& reply) { return reply.Length() > 0; }};
}

Shape read_shape(uint64_t mailboxes) {
  Template made = read_request(kBatch);
  return {kRead, made.bytes,
          [places = made.places, mailboxes, random = new_random()](char* request) {
            write_mailbox(request + places[0], random->below(mailboxes));
            request[places[1]] = static_cast<char>(random->below(128));
          },
          [](const grpc::ByteBuffer& reply) { return reply.Length() > kBatch * kMessageBytes; }};
}

Load in_messages(Load load, size_t messages) {
  load.per_second *= static_cast<double>(messages);
  return load;
}

void Turns::run(const Measure& ours, const Measure& theirs, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    // The order changes, so that neither always follows the other.
    Load first = i % 2 == 0 ? ours() : theirs();
    Load second = i % 2 == 0 ? theirs() : ours();
    ours_.push_back(i % 2 == 0 ? first : second);
    theirs_.push_back(i % 2 == 0 ? second : first);
  }
}

Figure Turns::figure(const std::string& name, const std::string& unit, const std::string& against,
                     double Load::*what) const {
  std::vector<double> ours, theirs, ratios;
  for (size_t i = 0; i < ours_.size(); ++i) {
    ours.push_back(ours_[i].*what);
    theirs.push_back(theirs_[i].*what);
    ratios.push_back(ours.back() / theirs.back());
  }
  return {name, median(ours), unit, against, median(theirs), median(ratios), "", std::nullopt};
}

Figure Turns::rate(const std::string& name, const std::string& unit, const std::string& against,
                   double goal) const {
  return with_goal(figure(name, unit, against, &Load::per_second), goal);
}

Figure Turns::p99(const std::string& name, const std::string& against) const {
  return figure(name + ", p99", "us", against, &Load::p99_us);
}

Figure with_goal(Figure figure, double goal) {
  if (goal > 0) {
    char words[32];
    std::snprintf(words, sizeof(words), "ratio >= %g", goal);
    figure.goal = words;
    figure.met = *figure.ratio >= goal;
  }
  return figure;
}

Figure plain(const std::string& name, double value, const std::string& unit) {
  return {name, value, unit, "", std::nullopt, std::nullopt, "", std::nullopt};
}

}  // namespace imctl::bench
