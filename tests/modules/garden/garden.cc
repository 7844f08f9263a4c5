#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "garden.pb.h"
#include "imctl/sdk.h"

namespace {

using imctl::Context;
using imctl::Reader;
using imctl::Result;
using imctl::Status;
using imctl::Stream;
using imctl::Task;
using imctl::Writer;
using namespace garden::v1;  // NOLINT: all that this file is about

class GardenModule : public imctl::Module {
 public:
  explicit GardenModule(const imctl::Host& handle) : Module(handle) {
    serve("/garden.v1.Garden/Add", &GardenModule::add);
    serve("/garden.v1.Garden/List", &GardenModule::list);
    serve("/garden.v1.Garden/Show", &GardenModule::show);
    serve("/garden.v1.Garden/Remove", &GardenModule::remove);
    serve("/garden.v1.Garden/Grow", &GardenModule::grow);
    serve("/garden.v1.Garden/Import", &GardenModule::import_plants);
    serve("/garden.v1.Garden/Talk", &GardenModule::talk);
    serve("/garden.v1.Garden/Fail", &GardenModule::fail);
    serve("/garden.v1.Garden/Sleep", &GardenModule::sleep);
    serve("/garden.v1.Garden/Count", &GardenModule::count);
  }

 private:
  Result<Plant> add(const AddRequest& request, const Context& context) {
    if (request.name().empty()) return Status(IMCTL_INVALID_ARGUMENT, "a plant needs a name");
    if (!request.gate_code().empty() && request.gate_code() != "open sesame") {
      return Status(IMCTL_PERMISSION_DENIED, "that is not the gate's code");
    }
    Plant plant;
    plant.set_name(request.name());
    plant.set_kind(request.kind());
    plant.set_height(request.frost_proof() ? 20 : 10);
    if (request.has_water_every()) *plant.mutable_water_every() = request.water_every();
    if (request.has_soil()) *plant.mutable_soil() = request.soil();
    *plant.mutable_labels() = request.labels();
    plant.set_picture_size(request.picture().size());
    std::lock_guard lock(mutex_);
    if (plants_.contains(request.name())) {
      return Status(IMCTL_ALREADY_EXISTS, "there is a plant " + request.name() + " already");
    }
    if (!context.dry_run()) plants_[request.name()] = plant;
    return plant;
  }

  Result<ListReply> list(const ListRequest&, const Context&) {
    ListReply reply;
    std::lock_guard lock(mutex_);
    for (const auto& [name, plant] : plants_) *reply.add_plants() = plant;
    return reply;
  }

  Result<Overview> show(const ShowRequest& request, const Context&) {
    Overview overview;
    overview.set_owner("Ada");
    overview.set_area(1536);
    overview.set_sun(0.33333);
    overview.mutable_age()->set_seconds(93784);
    overview.mutable_soil()->set_acidity(6.5);
    overview.mutable_soil()->mutable_below()->set_mix("clay");
    std::lock_guard lock(mutex_);
    for (const auto& [name, plant] : plants_) {
      if (request.name().empty() || request.name() == name) *overview.add_plants() = plant;
    }
    if (!request.name().empty() && overview.plants().empty()) {
      return Status(IMCTL_NOT_FOUND, "there is no plant " + request.name());
    }
    return overview;
  }

  Result<RemoveReply> remove(const RemoveRequest& request, const Context&) {
    RemoveReply reply;
    std::lock_guard lock(mutex_);
    for (const std::string& name : request.names()) {
      reply.set_count(reply.count() + static_cast<uint32_t>(plants_.erase(name)));
    }
    return reply;
  }

  Task<Status> grow(const GrowRequest& request, Writer<GrowReply>& writer) {
    GrowReply reply;
    reply.set_total(request.days());
    for (uint32_t day = 1; day <= request.days(); ++day) {
      reply.set_done(day);
      reply.set_state(day == request.days() ? "grown" : "growing");
      if (!co_await writer.write(reply)) co_return Status(IMCTL_CANCELLED, "the stream is gone");
      if (request.wither() && day * 2 >= request.days()) {
        co_return Status(IMCTL_ABORTED, "it withered");
      }
    }
    co_return Status();
  }

  Task<Result<ImportReply>> import_plants(Reader<Plant>& reader) {
    ImportReply reply;
    while (std::optional<Plant> plant = co_await reader.read()) {
      std::lock_guard lock(mutex_);
      plants_[plant->name()] = *plant;
      reply.set_count(reply.count() + 1);
    }
    co_return reply;
  }

  Task<Status> talk(Stream<Word, Word>& stream) {
    while (std::optional<Word> word = co_await stream.read()) {
      if (!co_await stream.write(*word)) break;
    }
    co_return Status();
  }

  Result<ListRequest> fail(const FailRequest& request, const Context&) {
    if (request.code() == 0) return ListRequest();
    return Status(static_cast<imctl_code>(request.code()), "as it was told");
  }

  Task<Status> sleep(const ListRequest&, Writer<Word>& writer) {
    auto woken = std::make_shared<imctl::Event>();
    writer.on_cancel([woken](imctl_code) { woken->set(); });
    Word word;
    word.set_text("asleep");
    (void)co_await writer.write(word);
    co_await *woken;
    co_return Status(IMCTL_CANCELLED, "woken");
  }

  Result<ImportReply> count(const ListRequest&, const Context&) {
    ImportReply reply;
    std::lock_guard lock(mutex_);
    reply.set_count(static_cast<uint32_t>(plants_.size()));
    return reply;
  }

  std::mutex mutex_;
  std::map<std::string, Plant> plants_;
};

}  // namespace

IMCTL_MODULE(GardenModule)
