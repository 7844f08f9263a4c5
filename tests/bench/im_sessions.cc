// Many sessions at once: what they take when they come back, and when they do nothing.
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "im.h"
#include "im_chat.h"
#include "storage_host.h"
#include "storage_requests.h"
#include "stored_users.h"
#include "streams.h"

namespace imctl::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kModules[] = "storage-sqlite,user,router";
constexpr uint64_t kUsers = 10'000;
constexpr size_t kStreamsAConnection = 100;

// kUsers streams, each with that first message.
void open_all(Streams* streams, int port,
              const std::function<std::string(uint64_t user)>& first_message) {
  for (uint64_t user = 0; user < kUsers;) {
    const size_t connection = streams->connect(port);
    for (size_t i = 0; i < kStreamsAConnection && user < kUsers; ++i, ++user) {
      streams->send(streams->open(connection), first_message(user));
    }
    streams->turn(0);
  }
}

// Bytes a stream, when all have had an answer and nothing moves any more.
double idle_bytes(int port, const char* method, const std::function<double()>& megabytes,
                  const std::function<std::string(uint64_t user)>& first_message) {
  size_t answered = 0;
  Streams streams(method, [&](size_t, std::string_view) { ++answered; });
  const double before = megabytes();
  open_all(&streams, port, first_message);
  while (answered < kUsers) streams.turn(1000);
  for (const auto end = Clock::now() + std::chrono::seconds(2); Clock::now() < end;) {
    streams.turn(100);
  }
  return (megabytes() - before) * 1024 * 1024 / static_cast<double>(kUsers);
}

// Messages of 200 bytes for everybody, each for a hundred.
void fill_mailboxes(Caller* caller, uint64_t messages) {
  constexpr uint64_t kRecipients = 100;
  for (uint64_t first = 0; first < kUsers; first += kRecipients) {
    Shape shape{"/imctl.storage.v1.Mailboxes/Append", {}, {}, {}};
    std::string event;
    append_bytes(&event, 1, std::string(kUuid, '#'));
    append_bytes(&event, 2, "im:bench");
    append_bytes(&event, 3, "1.0");
    append_bytes(&event, 4, "im");
    append_bytes(&event, 7, std::string(kTextBytes, 'x'));
    std::string message;
    append_bytes(&message, 1, event);
    append_bytes(&shape.request, 1, message);
    for (uint64_t i = 0; i < kRecipients; ++i) {
      append_bytes(&shape.request, 2, user_name(first + i));
    }
    shape.patch = [place = shape.request.find('#'), random = Random()](char* request) mutable {
      Uuid::random(random).write(request + place);
    };
    shape.good = [](const grpc::ByteBuffer& reply) { return reply.Length() > 0; };
    constexpr size_t kInFlight = 16;
    caller->run(shape, kInFlight, times(messages));
  }
}

}  // namespace

void measure_im_offline(std::vector<Figure>* figures) {
  constexpr uint64_t kMessages = 100;
  StorageHost host(kModules);
  store_users(&host.caller(), kUsers);
  fill_mailboxes(&host.caller(), kMessages);
  // What filling took is not to count.
  host.restart({});
  std::vector<uint64_t> got(kUsers);
  uint64_t messages = 0;
  std::vector<size_t> complete;
  Streams streams(kConnect, [&](size_t user, std::string_view frame) {
    if (im_frame(frame) == ImFrame::kWelcome) return;
    if (im_frame(frame) != ImFrame::kDeliver || delivered_sequence(frame) != ++got[user]) {
      throw std::runtime_error("a message is not the next one: " + std::string(frame));
    }
    ++messages;
    if (got[user] == kMessages) complete.push_back(user);
  });
  const double before = host.resident_megabytes();
  const double cpu = host.cpu_seconds();
  const Clock::time_point begin = Clock::now();
  open_all(&streams, host.port(), [](uint64_t user) { return hello_frame(user, "phone", false); });
  Clock::time_point last = Clock::now();
  for (uint64_t seen = 0; messages < kUsers * kMessages; seen = messages) {
    streams.turn(1000);
    for (size_t user : complete) streams.send(user, ack_frame(kMessages));
    complete.clear();
    if (messages != seen) last = Clock::now();
    if (Clock::now() > last + std::chrono::seconds(30)) {
      throw std::runtime_error("messages did not arrive");
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const std::string name = "im, 10000 users come back to 100 each";
  figures->push_back(plain(name, static_cast<double>(messages) / seconds, "msg/s"));
  figures->push_back(plain(name + ", all", seconds, "s"));
  figures->push_back(plain(name + ", a CPU-second",
                           static_cast<double>(messages) / (host.cpu_seconds() - cpu), "msg"));
  Figure peak = plain(name + ", peak memory", host.peak_megabytes(), "MB");
  peak.against = "before";
  peak.against_value = before;
  peak.ratio = peak.value / before;
  figures->push_back(peak);
}

void measure_im_idle(std::vector<Figure>* figures, int rounds) {
  constexpr double kGoal = 8 * 1024;
  std::vector<double> ours, bare, above;
  for (int i = 0; i < rounds; ++i) {
    StorageHost host(kModules);
    store_users(&host.caller(), kUsers);
    ours.push_back(idle_bytes(
        host.port(), kConnect, [&] { return host.resident_megabytes(); },
        [](uint64_t user) { return hello_frame(user, "phone", true); }));
    const int port = free_port();
    Process plain_server({IMCTL_PLAIN_SERVER, "127.0.0.1:" + std::to_string(port)});
    if (!wait_listening(port)) throw std::runtime_error("the plain server does not start");
    bare.push_back(idle_bytes(
        port, "/imctl.bench.v1.Talks/Talk", [&] { return plain_server.resident_megabytes(); },
        [](uint64_t user) {
          std::string payload;
          append_bytes(&payload, 1, user_name(user));
          return payload;
        }));
    above.push_back(ours.back() - bare.back());
  }
  Figure all = plain("im, memory of an idle session of 10000", median(ours), "bytes");
  all.against = "plain gRPC stream";
  all.against_value = median(bare);
  all.ratio = median(ours) / median(bare);
  figures->push_back(all);
  Figure figure = plain("im, idle session above a bare stream", median(above), "bytes");
  figure.goal = "<= 8192 bytes";
  figure.met = figure.value <= kGoal;
  figures->push_back(figure);
}

}  // namespace imctl::bench
