// A file that comes in the messages of a stream, put by on the disk: it has to be read more than
// once.
#ifndef IMCTL_BACKUP_UPLOAD_H
#define IMCTL_BACKUP_UPLOAD_H

#include <memory>
#include <optional>
#include <string>

#include "core.h"
#include "disk.h"

namespace imctl::backup {

// `first`: what the first message has of it.
template <class Stream>
Task<Result<std::shared_ptr<Source>>> take_upload(Core* core, Stream& stream,
                                                  const std::string& first) {
  if (Status status = co_await on_slow_pool(core->host); !status.ok()) co_return status;
  const std::string folder = core->options()->data_dir;
  if (Status status = make_folder(folder); !status.ok()) co_return status;
  Result<std::unique_ptr<Scratch>> scratch = Scratch::create(folder);
  if (!scratch.ok()) co_return scratch.status();
  if (Status status = (*scratch)->write(first); !status.ok()) co_return status;
  while (auto part = co_await stream.read()) {
    if (Status status = co_await on_slow_pool(core->host); !status.ok()) co_return status;
    if (Status status = (*scratch)->write(part->upload()); !status.ok()) co_return status;
  }
  if (stream.context().cancelled()) co_return caller_gone();
  co_return (*scratch)->read();
}

}  // namespace imctl::backup

#endif  // IMCTL_BACKUP_UPLOAD_H
