// imctl.user.v1.Users/Import.
#ifndef IMCTL_USER_IMPORT_SERVICE_H
#define IMCTL_USER_IMPORT_SERVICE_H

#include "core.h"

namespace imctl::user {

class ImportService {
 public:
  ImportService(Core* core, Module* module);

 private:
  using Stream = imctl::Stream<v1::ImportUsersRequest, v1::ImportUsersResponse>;
  Task<Status> import(Stream& stream);

  Core* const core_;
};

}  // namespace imctl::user

#endif  // IMCTL_USER_IMPORT_SERVICE_H
