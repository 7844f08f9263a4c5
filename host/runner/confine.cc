#include "runner/confine.h"

#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

namespace imctl::host {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kAddressSpaceIsOurs = false;  // a sanitizer maps terabytes
#else
constexpr bool kAddressSpaceIsOurs = true;
#endif

Status cannot(const std::string& what, int error) {
  return {IMCTL_FAILED_PRECONDITION, "cannot " + what + ": " + strerror(error)};
}

Status limit(int resource, rlim_t value, const char* setting) {
  rlimit limits{value, value};
  rlimit now{};
  getrlimit(static_cast<__rlimit_resource>(resource), &now);
  if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value) limits = {now.rlim_max, now.rlim_max};
  if (setrlimit(static_cast<__rlimit_resource>(resource), &limits) == 0) return {};
  return cannot("set " + std::string(setting) + " to " + std::to_string(value), errno);
}

// Refused whatever their arguments: what starts programs, looks into others, changes the machine.
constexpr int kRefused[] = {
    // programs and processes
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(setns),
    SCMP_SYS(unshare),
    // other processes
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise), SCMP_SYS(pidfd_getfd), SCMP_SYS(pidfd_send_signal), SCMP_SYS(kcmp),
    SCMP_SYS(tkill), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
    // file systems
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(move_mount),
    SCMP_SYS(open_tree), SCMP_SYS(mount_setattr), SCMP_SYS(swapon), SCMP_SYS(swapoff),
    SCMP_SYS(quotactl), SCMP_SYS(acct), SCMP_SYS(open_by_handle_at), SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    // the kernel and the machine
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load), SCMP_SYS(bpf), SCMP_SYS(reboot), SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname), SCMP_SYS(syslog), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(vhangup),
    SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
    // would do some of it past this filter
    SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register)};

int add_rules(scmp_filter_ctx filter) {
  const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
  for (int call : kRefused) {
    int error = seccomp_rule_add(filter, refuse, call, 0);
    if (error != 0) return error;
  }
  // Threads, but no processes. How clone3 is called cannot be looked at: callers then use clone.
  constexpr scmp_datum_t kThread = CLONE_THREAD;
  int error =
      seccomp_rule_add(filter, refuse, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, kThread, 0));
  if (error == 0) {
    error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  }
  // Signals and limits, but for its own.
  const auto self = static_cast<scmp_datum_t>(getpid());
  for (int call :
       {SCMP_SYS(kill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo)}) {
    if (error == 0) error = seccomp_rule_add(filter, refuse, call, 1, SCMP_A0(SCMP_CMP_NE, self));
  }
  if (error == 0) {
    error = seccomp_rule_add(filter, refuse, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_NE, 0));
  }
  return error;
}

Status enter_sandbox() {
  std::unique_ptr<void, decltype(&seccomp_release)> filter(seccomp_init(SCMP_ACT_ALLOW),
                                                           &seccomp_release);
  int error = filter == nullptr ? -ENOMEM : add_rules(filter.get());
  // Sets no_new_privs, too.
  if (error == 0) error = seccomp_load(filter.get());
  if (error == 0) return {};
  Status status = cannot("enter the sandbox", -error);
  return {status.code(), status.message() + " (process_sandbox = no does without)"};
}

}  // namespace

Status confine(const ProcessLimits& limits) {
  // If the machine runs out of memory, rather this one than the host. No matter if that cannot be.
  std::ofstream("/proc/self/oom_score_adj") << "500";
  if (limits.memory != 0 && kAddressSpaceIsOurs) {
    // Each of malloc's arenas would reserve 64 MiB of it.
    mallopt(M_ARENA_MAX, 2);
    Status status = limit(RLIMIT_AS, limits.memory, "process_memory");
    if (!status.ok()) return status;
  }
  if (limits.files != 0) {
    Status status = limit(RLIMIT_NOFILE, limits.files, "process_files");
    if (!status.ok()) return status;
  }
  // Of this thread, and of those that it starts.
  errno = 0;
  if (limits.nice != 0 && nice(static_cast<int>(limits.nice)) == -1 && errno != 0) {
    return cannot("set process_nice", errno);
  }
  return limits.sandbox ? enter_sandbox() : Status();
}

}  // namespace imctl::host
