/* A disk that fails: preloaded into the host (LD_PRELOAD), it counts what is done to a database's
 * files, *.db and *.db-wal, to the settings' or the audit log's, and lets the calls fail that the test chose. The test steers it through
 * the file that FAILING_DISK names, which both map; see failing_disk.py.
 *
 * A write that fails has written half of what it should; a sync that fails has synced nothing.
 *
 * With `shadow` it keeps beside each file what of it was synced, FILE.synced: what a power cut
 * would leave at least. What a file held when it was first written to counts as synced.
 *
 *   cc -shared -fPIC -O1 -o failing_disk.so failing_disk.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITES = 1, SYNCS = 2, TRUNCATES = 4 }; /* kinds of calls */
/* files: *.db, *.db-wal, the config file and its history, the audit log */
enum { DATABASE = 1, LOG = 2, SETTINGS = 4, AUDIT = 8 };

struct control {
  _Atomic uint64_t calls;   /* that match; the test sets it to 0 */
  _Atomic uint64_t fail_at; /* number of the first to fail, from 1; 0: none */
  _Atomic uint64_t count;   /* how many fail from there on */
  _Atomic uint32_t error;   /* errno */
  _Atomic uint32_t kinds;
  _Atomic uint32_t files;
  _Atomic uint32_t shadow;
  _Atomic uint64_t failed; /* how many did */
};

static struct control* control;

__attribute__((constructor)) static void start(void) {
  const char* path = getenv("FAILING_DISK");
  if (path == NULL) return;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) control = mapped;
}

static int ends(const char* path, size_t size, const char* end) {
  size_t length = strlen(end);
  return size >= length && memcmp(path + size - length, end, length) == 0;
}

/* Which of the files it is, with its path; 0: another. */
static uint32_t file_of(int fd, char path[4096]) {
  int before = errno;
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, 4095);
  errno = before;
  if (size <= 0) return 0;
  path[size] = 0;
  if (strstr(path, ".conf") != NULL || strstr(path, "/host/settings/") != NULL) return SETTINGS;
  if (strstr(path, "/host/audit/") != NULL) return AUDIT;
  return ends(path, (size_t)size, ".db") ? DATABASE : ends(path, (size_t)size, ".db-wal") ? LOG : 0;
}

/* Is this call to fail? Sets errno then. */
static int fails(int fd, uint32_t kind) {
  if (control == NULL || (control->kinds & kind) == 0) return 0;
  char path[4096];
  if ((control->files & file_of(fd, path)) == 0) return 0;
  uint64_t number = ++control->calls;
  uint64_t first = control->fail_at;
  if (first == 0 || number < first || number - first >= control->count) return 0;
  ++control->failed;
  errno = (int)control->error;
  return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* ---- what was synced */

struct range {
  off64_t at;
  size_t size;
};

struct file {
  char path[4096];
  ino_t inode;
  int shadow;
  struct range* dirty; /* written since the last sync */
  size_t count, space;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct file files[16]; /* guarded by mutex; those with a path */

static void copy(int from, int to, off64_t at, size_t size) {
  static __typeof__(&pwrite64) real;
  static char buffer[1 << 16]; /* guarded by mutex */
  if (real == NULL) real = REAL(pwrite64);
  while (size > 0) {
    ssize_t got = pread64(from, buffer, size < sizeof buffer ? size : sizeof buffer, at);
    if (got <= 0) return; /* cut off since */
    if (real(to, buffer, (size_t)got, at) != got) abort();
    at += got;
    size -= (size_t)got;
  }
}

/* What is known of a file, before something is done to it. */
static struct file* shadow_of(int fd) {
  char path[4096];
  struct stat64 status;
  if (control == NULL || !control->shadow || (file_of(fd, path) & (DATABASE | LOG)) == 0 ||
      fstat64(fd, &status) != 0)
    return NULL;
  struct file* found = files;
  while (found->path[0] != 0 && strcmp(found->path, path) != 0) {
    if (++found == files + 16) abort();
  }
  if (found->path[0] != 0 && found->inode == status.st_ino) return found;
  if (found->path[0] != 0) close(found->shadow);
  strcpy(found->path, path);
  found->inode = status.st_ino;
  found->count = 0;
  if (strlen(path) + 8 > sizeof path) abort();
  strcat(path, ".new");
  found->shadow = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (found->shadow < 0) abort();
  copy(fd, found->shadow, 0, (size_t)status.st_size);
  /* Whole or not at all, whenever the process is killed. */
  char named[4096];
  strcpy(named, found->path);
  strcat(named, ".synced");
  if (rename(path, named) != 0) abort();
  return found;
}

static void note(int fd, off64_t at, size_t size) {
  int before = errno;
  pthread_mutex_lock(&mutex);
  struct file* file = shadow_of(fd);
  if (file != NULL) {
    if (file->count == file->space) {
      file->space = file->space * 2 + 64;
      file->dirty = realloc(file->dirty, file->space * sizeof *file->dirty);
      if (file->dirty == NULL) abort();
    }
    file->dirty[file->count++] = (struct range){at, size};
  }
  pthread_mutex_unlock(&mutex);
  errno = before;
}

static void synced(int fd) {
  static __typeof__(&ftruncate64) real;
  int before = errno;
  pthread_mutex_lock(&mutex);
  struct file* file = shadow_of(fd);
  struct stat64 status;
  if (file != NULL && fstat64(fd, &status) == 0) {
    if (real == NULL) real = REAL(ftruncate64);
    for (size_t i = 0; i < file->count; ++i) {
      copy(fd, file->shadow, file->dirty[i].at, file->dirty[i].size);
    }
    if (real(file->shadow, status.st_size) != 0) abort();
    file->count = 0;
  }
  pthread_mutex_unlock(&mutex);
  errno = before;
}

/* ---- the calls */

ssize_t write(int fd, const void* data, size_t size) {
  static __typeof__(&write) real;
  if (real == NULL) real = REAL(write);
  if (!fails(fd, WRITES)) return real(fd, data, size);
  int error = errno;
  (void)!real(fd, data, size / 2);
  errno = error;
  return -1;
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  static __typeof__(&pwrite64) real;
  if (real == NULL) real = REAL(pwrite64);
  note(fd, at, size);
  if (!fails(fd, WRITES)) return real(fd, data, size, at);
  int error = errno;
  (void)!real(fd, data, size / 2, at);
  errno = error;
  return -1;
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  return pwrite64(fd, data, size, at);
}

int fsync(int fd) {
  static __typeof__(&fsync) real;
  if (real == NULL) real = REAL(fsync);
  if (fails(fd, SYNCS)) return -1;
  int result = real(fd);
  if (result == 0) synced(fd);
  return result;
}

int fdatasync(int fd) {
  static __typeof__(&fdatasync) real;
  if (real == NULL) real = REAL(fdatasync);
  if (fails(fd, SYNCS)) return -1;
  int result = real(fd);
  if (result == 0) synced(fd);
  return result;
}

int ftruncate64(int fd, off64_t size) {
  static __typeof__(&ftruncate64) real;
  if (real == NULL) real = REAL(ftruncate64);
  note(fd, 0, 0);
  return fails(fd, TRUNCATES) ? -1 : real(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
