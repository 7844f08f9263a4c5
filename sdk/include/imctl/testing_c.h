/* A host in this process, to test modules in: no network, no configuration file, nothing installed.
 * Pure C; <imctl/testing.h> has the same with types. Link libimctl-testing (imctl::testing in CMake,
 * `pkg-config imctl-testing`). The module is loaded from its .so as any host does it, and calls of
 * it walk the same road: settings, access, dry run, deadlines, windows of streams.
 *
 * Every function may wait, and may be called from any thread unless it says otherwise; of one call,
 * one thread may read while another writes. Strings are NUL-terminated UTF-8.
 */
#ifndef IMCTL_TESTING_C_H
#define IMCTL_TESTING_C_H

#include <stddef.h>
#include <stdint.h>

#include "imctl/module.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct imctl_test_host imctl_test_host;
typedef struct imctl_test_call imctl_test_call;

/* Where records, mailboxes and messages are kept while the test runs. */
enum imctl_test_store {
  IMCTL_TEST_NO_STORE = 0,
  IMCTL_TEST_MEMORY = 1, /* SQLite in a file system in memory: fast, gone with the machine */
  IMCTL_TEST_SQLITE = 2  /* SQLite in a file, as in production */
};

typedef struct imctl_test_options {
  uint32_t struct_size;
  int32_t store; /* enum imctl_test_store */
  /* Paths of shared objects; what has no '/' is the name of a module that is installed. */
  const char* const* modules;
  size_t module_count;
  /* "section.key=value", as `imctl serve --set` takes them. */
  const char* const* settings;
  size_t setting_count;
  /* Where the data are; NULL: a temporary folder, removed when the host is closed. To test what
   * survives a restart, open a second host on the folder of the first. */
  const char* folder;
  /* Not 0: the module runs in a process of its own, as a host isolates it. */
  int32_t isolate;
} imctl_test_options;

/* Starts a host with those modules. NULL and `error` (cut to fit) if one of them cannot be loaded. */
imctl_test_host* imctl_test_open(const imctl_test_options* options, char* error, size_t error_size);

/* Stops it: 0, or -1 and `error` if a module did not stop as it should, or left its code mapped.
 * Every call must have been released. The host is gone either way. */
int imctl_test_close(imctl_test_host* host, char* error, size_t error_size);

/* Replaces the module by a new copy of itself while calls go on, as `imctl module reload` does. */
int imctl_test_reload(imctl_test_host* host, const char* module, char* error, size_t error_size);

typedef struct imctl_test_call_options {
  uint32_t struct_size;
  int32_t principal_kind; /* enum imctl_principal_kind; IMCTL_PRINCIPAL_NONE: nobody in particular */
  const char* principal;  /* NULL: none */
  int64_t timeout_ms;     /* 0: 30 seconds, so that a test that hangs fails instead */
  int32_t dry_run;
  const imctl_metadata* metadata;
  size_t metadata_count;
} imctl_test_call_options;

/* Starts a call of "/package.Service/Method". `options` NULL: an administrator's. `request` NULL:
 * the client streams. Never NULL. Release what it gives. */
imctl_test_call* imctl_test_start(imctl_test_host* host, const char* method, const void* request,
                                  size_t request_size, const imctl_test_call_options* options);
/* Of a client's stream: 1, the message was accepted; 0, the call is over. */
int imctl_test_write(imctl_test_call* call, const void* message, size_t size);
void imctl_test_writes_done(imctl_test_call* call);
/* The next message of a server's stream: 1, and `*message` is valid until the next read or release;
 * 0: no more come. */
int imctl_test_read(imctl_test_call* call, const void** message, size_t* size);
/* Waits for the end. `status` and `reply` (of a unary or client-streaming call that went well) are
 * valid until release; each may be NULL. Gives status.code. */
int32_t imctl_test_finish(imctl_test_call* call, imctl_status* status, imctl_str* reply);
/* Of the trailing metadata, after the end; valid until release. */
imctl_str imctl_test_trailer(imctl_test_call* call, const char* key);
void imctl_test_cancel(imctl_test_call* call);
/* Cancels it if it is not over, and waits for that. */
void imctl_test_release(imctl_test_call* call);

/* Did a line that contains `text` come into the host's log so far? For what a module logs. */
int imctl_test_logged(imctl_test_host* host, const char* text);

#ifdef __cplusplus
}
#endif

#endif /* IMCTL_TESTING_C_H */
