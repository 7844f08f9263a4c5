#include "cli/host_program.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

namespace imctl::host::cli {
namespace {

// As they were given to this process.
std::vector<std::string> own_words() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  std::vector<std::string> words;
  for (size_t start = 0; start < all.size();) {
    size_t end = std::min(all.find('\0', start), all.size());
    words.push_back(all.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

}  // namespace

Status become_host_program() {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::path self = fs::read_symlink("/proc/self/exe", error);
  // Beside the program's folder, so that an installation can be moved.
  fs::path program = self.parent_path().parent_path() / "lib" / "imctl" / "imctl-host";
  if (self.filename() == program.filename()) {
    return {IMCTL_INTERNAL, "this is the host program already"};
  }
  std::vector<std::string> words = own_words();
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  // It is to find its signals as this program found them.
  sigset_t before;
  sigset_t none;
  sigemptyset(&none);
  (void)::pthread_sigmask(SIG_SETMASK, &none, &before);
  (void)::execv(program.c_str(), pointers.data());
  int failed = errno;
  (void)::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {IMCTL_FAILED_PRECONDITION, "cannot run " + program.string() + ": " +
                                         std::generic_category().message(failed) +
                                         ": is imctl installed as a whole?"};
}

}  // namespace imctl::host::cli
