// Wakes those who follow what is written, soon after something was.
#ifndef IMCTL_HOST_CORE_WAKES_H
#define IMCTL_HOST_CORE_WAKES_H

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace imctl::host {

// All of it from any thread. Who writes waits for nobody.
class Wakes {
 public:
  Wakes() = default;
  Wakes(const Wakes&) = delete;
  Wakes& operator=(const Wakes&) = delete;
  ~Wakes();

  // Something was written.
  void came();

  // Calls `wake` soon after something came, on a thread of its own where it may take a while. It
  // may be called once more after unwatch().
  uint64_t watch(std::function<void()> wake);
  void unwatch(uint64_t watch);

 private:
  void loop();

  std::mutex mutex_;
  std::map<uint64_t, std::shared_ptr<std::function<void()>>> watches_;
  uint64_t next_watch_ = 0;
  bool came_ = false;
  bool stopping_ = false;
  std::condition_variable wake_;
  std::thread thread_;  // from the first watch on
};

}  // namespace imctl::host

#endif  // IMCTL_HOST_CORE_WAKES_H
