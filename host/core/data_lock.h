// One host a data folder: an advisory lock that ends with the process, however it ends.
#ifndef IMCTL_HOST_CORE_DATA_LOCK_H
#define IMCTL_HOST_CORE_DATA_LOCK_H

#include <string>

#include "imctl/status.h"

namespace imctl::host {

class DataLock {
 public:
  DataLock() = default;
  DataLock(const DataLock&) = delete;
  DataLock& operator=(const DataLock&) = delete;
  ~DataLock() { release(); }

  // Makes the folder if need be. FAILED_PRECONDITION, naming the process, if another holds it.
  Status take(const std::string& data_dir);
  void release();

 private:
  int fd_ = -1;
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_DATA_LOCK_H
