#include "core/module_settings.h"

#include "core/config_fields.h"

namespace imctl::host {

bool SectionSettings::operator==(const SectionSettings& other) const {
  // `enabled` and `file` say which module it is, not how it runs.
  return isolate == other.isolate && process == other.process && limits == other.limits;
}

SectionSettings read_section_settings(const google::protobuf::Message& config,
                                      const Manifest& manifest) {
  ConfigFields fields(config);
  SectionSettings section;
  section.enabled = fields.choice("enabled");
  section.file = fields.text("file");
  std::string isolate = fields.text("isolate");
  section.isolate = isolate == "process" ? Isolate::kProcess
                    : isolate == "no"    ? Isolate::kNo
                                         : Isolate::kAuto;
  section.process.memory = fields.u64("process_memory");
  section.process.files = fields.u32("process_files");
  section.process.nice = fields.u32("process_nice");
  section.process.sandbox = fields.choice("process_sandbox").value_or(false);
  section.process.restarts = fields.u32("process_restarts");
  section.process.answer_within = fields.duration("process_answer");
  InstanceLimits& limits = section.limits;
  if (manifest.pool_threads() != 0) limits.pool.threads = manifest.pool_threads();
  if (fields.u32("pool_threads") != 0) limits.pool.threads = fields.u32("pool_threads");
  limits.pool.queue = fields.u32("pool_queue");
  limits.pool.queue_bytes = fields.u64("pool_queue_bytes");
  limits.stream_window = fields.u64("stream_window");
  limits.streams_memory = fields.u64("streams_memory");
  return section;
}

}  // namespace imctl::host
