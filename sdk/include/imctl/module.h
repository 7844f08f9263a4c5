/* imctl module ABI, pure C (C11 and C++20).
 *
 * A module is a shared object that is *described* by a manifest in its ELF section
 * `.imctl.manifest` (a serialized imctl.Manifest, sdk/proto/imctl/manifest.proto, readable without
 * running any of its code) and *implemented* by what its one exported function,
 * `imctl_module_entry`, returns.
 *
 * Conventions
 *  1. Compatibility. This is ABI 0: unstable, and pinned to the exact text of this header (the
 *     manifest carries its SHA-256; the host refuses another one in words). When the first set of
 *     modules stands on it, it freezes as ABI 1 and from then on only grows: structs get fields at
 *     their end, features get tables with new names, nothing released changes its meaning.
 *  2. Sizes. Every struct that crosses starts with `struct_size`, set by whoever fills it. A
 *     reader tests IMCTL_HAS(ptr, field) before it uses a field that was not there in ABI 1's
 *     first release.
 *  3. Only bytes, integers, strings with lengths and handles cross: no C++ type, no exception, no
 *     allocator. `imctl_str` is not NUL-terminated and is valid only during the call that passes
 *     it, unless said otherwise. Names and messages are UTF-8.
 *  4. Errors are gRPC status codes (enum imctl_code) with a message that names the thing and the
 *     remedy.
 *  5. Ownership. A buffer passed to a function whose comment says "takes" belongs to the callee
 *     from then on, also when the function fails. All else is borrowed for the duration of the
 *     call.
 *  6. Threads. [any]: from any thread at any time. [lifecycle]: the host calls it on one thread at
 *     a time, never beside another lifecycle function of the same instance; it may block. [call]:
 *     on a thread of the host that must not block, or on the thread that caused the event; the
 *     callbacks of ONE call never run beside each other and never re-enter. [pool]: on a thread of
 *     the module's own bounded pool; may block.
 *  7. A module must leave nothing behind that keeps its code mapped: it joins its threads in
 *     deactivate, exports no STB_GNU_UNIQUE symbol, and has no `thread_local` with a destructor.
 *  8. Features beyond the core are tables asked for by name and version, `imctl.call/1` and the
 *     like: host->get_table for the host's, module->get_table for the module's. NULL: not there.
 *  9. Times are nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef IMCTL_MODULE_H
#define IMCTL_MODULE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IMCTL_ABI 0

#if defined(__GNUC__)
#define IMCTL_EXPORT __attribute__((visibility("default")))
#else
#define IMCTL_EXPORT
#endif

/* True if the struct that `p` points to is long enough to have `field`. */
#define IMCTL_HAS(p, field) \
  ((p)->struct_size >= (uint32_t)((const char*)(&(p)->field + 1) - (const char*)(p)))

typedef struct imctl_str {
  const char* data;
  size_t size;
} imctl_str;

/* gRPC's status codes. */
enum imctl_code {
  IMCTL_OK = 0,
  IMCTL_CANCELLED = 1,
  IMCTL_UNKNOWN = 2,
  IMCTL_INVALID_ARGUMENT = 3,
  IMCTL_DEADLINE_EXCEEDED = 4,
  IMCTL_NOT_FOUND = 5,
  IMCTL_ALREADY_EXISTS = 6,
  IMCTL_PERMISSION_DENIED = 7,
  IMCTL_RESOURCE_EXHAUSTED = 8,
  IMCTL_FAILED_PRECONDITION = 9,
  IMCTL_ABORTED = 10,
  IMCTL_OUT_OF_RANGE = 11,
  IMCTL_UNIMPLEMENTED = 12,
  IMCTL_INTERNAL = 13,
  IMCTL_UNAVAILABLE = 14,
  IMCTL_DATA_LOSS = 15,
  IMCTL_UNAUTHENTICATED = 16
};

/* How a call ended. `details`: a serialized google.rpc.Status, or empty. */
typedef struct imctl_status {
  uint32_t struct_size;
  int32_t code;
  imctl_str message;
  imctl_str details;
} imctl_status;

/* Where a lifecycle function writes why it failed: NUL-terminated, cut to fit. */
typedef struct imctl_error {
  uint32_t struct_size;
  int32_t code;
  char message[1000];
} imctl_error;

/* A run of bytes, counted by reference. Made by the host (buffer_new, buffer_wrap), or passed by
 * it. Whoever made it may write to `data` until it is first passed on; after that nobody may. */
typedef struct imctl_buffer {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  uint8_t* data;
  size_t size;
} imctl_buffer;

/* ---- calls, as the module that serves them sees them -------------------------------------------
 */

/* One call that a module serves. The handle lives until the module finishes it, which it must do
 * exactly once, whatever the client does: cancel and deadline are notices. */
typedef struct imctl_call imctl_call;

enum imctl_principal_kind {
  IMCTL_PRINCIPAL_NONE = 0,  /* nobody proved who they are */
  IMCTL_PRINCIPAL_USER = 1,  /* `principal` is user@domain */
  IMCTL_PRINCIPAL_NODE = 2,  /* `principal` is a node's id */
  IMCTL_PRINCIPAL_ADMIN = 3, /* the host's own tier: `principal` names the credential */
  IMCTL_PRINCIPAL_MODULE = 4 /* a module acting as itself: `principal` is its name */
};

enum imctl_context_flag {
  IMCTL_DRY_RUN = 1 /* say what would happen, change nothing; only for methods that declare it */
};

/* Who calls, and within which bounds. Valid until the call is finished. */
typedef struct imctl_context {
  uint32_t struct_size;
  uint32_t flags; /* enum imctl_context_flag */
  int32_t principal_kind;
  uint32_t depth; /* 0 from outside; one more for each call made on behalf of another */
  imctl_str principal;
  imctl_str caller_module; /* stamped by the host; empty when the call comes from a front end */
  imctl_str call_id;       /* the same through all calls made on behalf of one */
  int64_t deadline;        /* 0: none */
} imctl_context;

/* Starts a call. [call], or [pool] if the method is declared `blocking`. Takes `request`, which is
 * NULL for methods whose client streams. May finish the call before it returns, or later from any
 * thread. `user` is the method's. */
typedef void (*imctl_handler)(void* user, imctl_call* call, const imctl_context* context,
                              imctl_buffer* request);

typedef struct imctl_method {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  imctl_str name; /* "/package.Service/Method" */
  imctl_handler start;
  void* user;
} imctl_method;

/* ---- the module -------------------------------------------------------------------------------
 */

typedef struct imctl_host imctl_host;

/* What prepare is given. */
typedef struct imctl_settings {
  uint32_t struct_size;
  uint32_t flags;     /* 0 */
  imctl_str config;   /* the manifest's `config` message, serialized, every field set */
  imctl_str data_dir; /* a folder that is the module's alone; exists */
  imctl_str domain;   /* host.domain */
} imctl_settings;

/* The life of an instance: create, prepare, activate, quiesce, deactivate, destroy; never
 * backwards, except deactivate -> activate when a swap is undone. A failed prepare or activate is
 * followed by destroy (after activate: deactivate first is not called). All [lifecycle]; each
 * returns an imctl_code and, unless IMCTL_OK, fills `error`. NULL slots are steps with nothing to
 * do, but for create and destroy. */
typedef struct imctl_module {
  uint32_t struct_size;
  uint32_t abi; /* IMCTL_ABI */

  /* Makes an instance. `host` stays valid until destroy returns. */
  int32_t (*create)(imctl_host* host, void** instance, imctl_error* error);

  /* The handlers, one for every method of every service that the manifest serves. The array and its
   * strings live as long as the instance. Asked for once, after create. Elements are
   * `(*methods)->struct_size` bytes apart. */
  const imctl_method* (*methods)(void* instance, size_t* count);

  /* Checks the settings and gets ready beside a running copy: nothing exclusive (no port, lock,
   * lease, writer). Calls of other services are not possible yet. */
  int32_t (*prepare)(void* instance, const imctl_settings* settings, imctl_error* error);

  /* Takes what is exclusive. When it returns IMCTL_OK calls arrive. What it requires is active. */
  int32_t (*activate)(void* instance, imctl_error* error);

  /* No new calls come. End streams soon, finish what is in flight; the host waits for it. */
  int32_t (*quiesce)(void* instance, imctl_error* error);

  /* No call is in flight. Gives back what is exclusive and joins every thread of the module. */
  int32_t (*deactivate)(void* instance, imctl_error* error);

  void (*destroy)(void* instance);

  /* Optional features that the module offers. NULL slot or NULL: none of that name. [any] */
  const void* (*get_table)(void* instance, imctl_str name);
} imctl_module;

/* The one exported symbol. The struct is static; NULL is a refusal. */
#define IMCTL_MODULE_ENTRY "imctl_module_entry"
typedef const imctl_module* (*imctl_module_entry_fn)(void);

/* ---- the host's core --------------------------------------------------------------------------
 */

enum imctl_log_level {
  IMCTL_LOG_TRACE = 0,
  IMCTL_LOG_DEBUG = 1,
  IMCTL_LOG_INFO = 2,
  IMCTL_LOG_WARN = 3,
  IMCTL_LOG_ERROR = 4
};

/* One for each instance, so the host knows who speaks. */
struct imctl_host {
  uint32_t struct_size;
  uint32_t abi;

  /* The host's table `name`, e.g. "imctl.call/1", or NULL. Valid as long as the host handle. [any]
   */
  const void* (*get_table)(imctl_host* host, imctl_str name);

  /* A new writable buffer of `size` bytes, or NULL when there is no memory. [any] */
  imctl_buffer* (*buffer_new)(imctl_host* host, size_t size);

  /* Wraps memory of the module's without a copy; `release(user)` is called once, from any thread,
   * before the module is unloaded. On failure returns NULL after calling it. [any] */
  imctl_buffer* (*buffer_wrap)(imctl_host* host, const void* data, size_t size,
                               void (*release)(void* user), void* user);

  void (*buffer_retain)(imctl_buffer* buffer);  /* one more owner. [any] */
  void (*buffer_release)(imctl_buffer* buffer); /* one owner less; NULL does nothing. [any] */

  /* Ends `call`; the handle is gone. Takes `reply`: required (may be empty) for an OK unary or
   * client-streaming call, NULL otherwise. `status` NULL means OK. [any] */
  void (*finish)(imctl_call* call, const imctl_status* status, imctl_buffer* reply);

  /* Writes a line to the host's log. `call` may be NULL. Never blocks on the disk. [any] */
  void (*log)(imctl_host* host, int32_t level, const imctl_call* call, imctl_str text);
  int32_t (*log_enabled)(imctl_host* host, int32_t level); /* [any] */
};

/* ---- "imctl.call/1": more of a call that one serves ---------------------------------------------
 */

#define IMCTL_CALL_TABLE "imctl.call/1"

/* What happens on a call; NULL slots are not told. All [call]. */
typedef struct imctl_call_events {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  /* Answer to read: takes over one message, or NULL: no more will come. */
  void (*on_message)(void* user, imctl_buffer* message);
  /* Answer to write: 1, the message was accepted and one more may be written; 0, the stream is
   * gone. */
  void (*on_written)(void* user, int32_t accepted);
  /* The caller went away (IMCTL_CANCELLED), its time is over (IMCTL_DEADLINE_EXCEEDED) or the
   * module is to stop (IMCTL_UNAVAILABLE). At most once; outstanding reads and writes are answered
   * too. */
  void (*on_cancel)(void* user, int32_t code);
  /* After finish: `user` is not used any more. Always the last. */
  void (*on_released)(void* user);
  /* The module is being replaced or stopped: a stream should end soon, with IMCTL_UNAVAILABLE and,
   * where the module can go on from a place, the trailer IMCTL_RESUME_KEY. 1: it will end itself,
   * and has until the host's deadline; 0, or a NULL slot: the host ends it now. */
  int32_t (*on_moving)(void* user);
} imctl_call_events;

/* Trailer of a stream that ends because its module moves: bytes that say where to go on. A caller
 * gives them back as metadata of the same key when it calls again. */
#define IMCTL_RESUME_KEY "imctl-resume-bin"

typedef struct imctl_call_table {
  uint32_t struct_size;
  uint32_t flags; /* 0 */

  /* Names who hears of the call's events; at most once, from the handler before it returns. The
   * events come after the handler has returned; of a `blocking` method, all but on_cancel may come
   * while it runs. */
  void (*bind)(imctl_call* call, const imctl_call_events* events, void* user);

  /* Streams are pulled: asks for one message. One at a time. [any] */
  void (*read)(imctl_call* call);

  /* Streams are credited: takes one message; accepted when it is within the stream's window (bytes,
   * `stream_window` in the module's section), else answered later. One at a time. [any] */
  void (*write)(imctl_call* call, imctl_buffer* message);

  /* 0, or the code that on_cancel has or would have been told. [any] */
  int32_t (*cancelled)(imctl_call* call);

  /* The first value of a metadata key of the request; size 0 if absent. Valid until finish. [any]
   */
  imctl_str (*metadata)(imctl_call* call, imctl_str key);

  /* Adds to the reply's trailing metadata. Before finish. Keys are of a-z, 0-9, '-', '_' and '.',
   * values printable ASCII unless the key ends in -bin; others are dropped. [any] */
  void (*add_trailer)(imctl_call* call, imctl_str key, imctl_str value);
} imctl_call_table;

/* ---- "imctl.client/1": calls of other services
 * ---------------------------------------------------- */

#define IMCTL_CLIENT_TABLE "imctl.client/1"

typedef struct imctl_target imctl_target; /* a method by name; lives as long as the host */
typedef struct imctl_client_call imctl_client_call; /* a call being made */

typedef struct imctl_metadata {
  imctl_str key; /* of a-z, 0-9, '-', '_' and '.' */
  imctl_str value;
} imctl_metadata;

typedef struct imctl_client_options {
  uint32_t struct_size;
  uint32_t flags; /* enum imctl_context_flag, added to the parent's */
  imctl_call*
      parent;      /* on whose behalf: principal, id, deadline, flags are inherited, its cancel too.
                      NULL: the module as itself, only towards services in its manifest's `needs` */
  int64_t timeout; /* nanoseconds from now; 0: the parent's deadline only */
  const imctl_metadata* metadata; /* what the callee may read; copied */
  size_t metadata_count;
} imctl_client_options;

/* All [call]. on_finish is required and the last. */
typedef struct imctl_client_events {
  uint32_t struct_size;
  uint32_t flags;                                        /* 0 */
  void (*on_message)(void* user, imctl_buffer* message); /* as in imctl_call_events */
  void (*on_written)(void* user, int32_t accepted);      /* as in imctl_call_events */
  /* The call is over. `reply` (unary and client-streaming, OK) is taken over. Comes after every
   * message was read, or the call failed. `user` is not used any more. */
  void (*on_finish)(void* user, const imctl_status* status, imctl_buffer* reply);
} imctl_client_events;

typedef struct imctl_client_table {
  uint32_t struct_size;
  uint32_t flags; /* 0 */

  /* The method of that name, served or not: what is not served answers UNIMPLEMENTED.
   * "/package.Service/Method" is served wherever the host's settings say;
   * "/package.Service/Method@grpc://HOST:PORT" (or grpcs://) by the host at that address, which is
   * called as section [bind] says it. A module of this host must serve that service too.
   * "/package.Service/Method@MODULE" is served by that module of this host, whoever else the
   * settings say. [any] */
  const imctl_target* (*resolve)(imctl_host* host, imctl_str name);

  /* Starts a call. Takes `request` (NULL if the client streams). Every outcome, a refusal too, is
   * told by on_finish, maybe before this returns. The handle, never NULL, is the caller's to
   * release; after on_finish the other functions do nothing. [any] */
  imctl_client_call* (*start)(imctl_host* host, const imctl_target* target,
                              const imctl_client_options* options, imctl_buffer* request,
                              const imctl_client_events* events, void* user);

  void (*read)(imctl_client_call* call);                         /* as in imctl_call_table. [any] */
  void (*write)(imctl_client_call* call, imctl_buffer* message); /* as in imctl_call_table. [any] */
  void (*writes_done)(imctl_client_call* call);                  /* no more writes. [any] */
  void (*cancel)(imctl_client_call* call);                       /* on_finish comes soon. [any] */
  void (*release)(imctl_client_call* call); /* gives the handle up; does not cancel. [any] */

  /* The first value of a key of the reply's trailing metadata; size 0 if absent. From on_finish
   * until release. [any] */
  imctl_str (*trailer)(imctl_client_call* call, imctl_str key);
} imctl_client_table;

/* ---- "imctl.pool/1": work that may block
 * ----------------------------------------------------------- */

#define IMCTL_POOL_TABLE "imctl.pool/1"

typedef struct imctl_pool_table {
  uint32_t struct_size;
  uint32_t flags; /* 0 */

  /* Runs work(user) on a thread of the module's own pool (`pool_threads`, `pool_queue` in its
   * section). IMCTL_RESOURCE_EXHAUSTED if its queue is full: work is not run. Work accepted is run
   * before deactivate is called. [any] */
  int32_t (*post)(imctl_host* host, void (*work)(void* user), void* user);

  int32_t (*on_pool_thread)(imctl_host* host); /* is this thread one of them? [any] */
} imctl_pool_table;

/* ---- "imctl.metrics/1"
 * ------------------------------------------------------------------------------ */

#define IMCTL_METRICS_TABLE "imctl.metrics/1"

typedef struct imctl_metric imctl_metric; /* lives as long as the host handle */

enum imctl_metric_kind { IMCTL_COUNTER = 0, IMCTL_GAUGE = 1, IMCTL_HISTOGRAM = 2 };

typedef struct imctl_metrics_table {
  uint32_t struct_size;
  uint32_t flags; /* 0 */

  /* Makes a metric, or finds it. `name` as Prometheus has it (base units, _total for counters);
   * `labels` as `key="value",...` or empty. NULL if the name is bad or of another kind. [any] */
  imctl_metric* (*get)(imctl_host* host, int32_t kind, imctl_str name, imctl_str labels,
                       imctl_str help);
  void (*add)(imctl_metric* metric, double value);     /* counter, gauge. [any] */
  void (*set)(imctl_metric* metric, double value);     /* gauge. [any] */
  void (*observe)(imctl_metric* metric, double value); /* histogram, in seconds. [any] */
} imctl_metrics_table;

/* ---- "imctl.json/1": the embedded descriptors at work
 * ------------------------------------------------ */

#define IMCTL_JSON_TABLE "imctl.json/1"

typedef struct imctl_json_table {
  uint32_t struct_size;
  uint32_t flags; /* 0 */

  /* Between serialized messages of the type `type` (in the module's own descriptors) and their JSON
   * form, field names as in the .proto. NULL and `error` on bad input. The caller releases what is
   * returned. [any] */
  imctl_buffer* (*to_json)(imctl_host* host, imctl_str type, imctl_str message, imctl_error* error);
  imctl_buffer* (*from_json)(imctl_host* host, imctl_str type, imctl_str json, imctl_error* error);
} imctl_json_table;

/* ---- "imctl.health/1"
 * -------------------------------------------------------------------------------- */

#define IMCTL_HEALTH_TABLE "imctl.health/1"

typedef struct imctl_health_table {
  uint32_t struct_size;
  uint32_t flags; /* 0 */

  /* Whether the module's services can do their work now; `reason` when not. Told to health checks;
   * calls still arrive. An active module serves until it says otherwise. [any] */
  void (*set)(imctl_host* host, int32_t serving, imctl_str reason);
} imctl_health_table;

/* ---- "imctl.handover/1": offered by a module, for its own replacement
 * ------------------------------ */

#define IMCTL_HANDOVER_TABLE "imctl.handover/1"

/* State in memory that a new copy of the module should have from the old one: the old one is
 * asked once no call is in flight, before its deactivate; the new one gets it before its activate.
 * `state` is the module's own format, and may be that of another version: a new copy that cannot
 * read it says so in words and is not used. Both [lifecycle]. */
typedef struct imctl_handover_table {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  /* Gives a buffer, owned by the host from then on, or NULL for nothing. */
  int32_t (*save)(void* instance, imctl_buffer** state, imctl_error* error);
  int32_t (*restore)(void* instance, imctl_str state, imctl_error* error);
} imctl_handover_table;

/* ---- "imctl.settings/1": offered by a module, for settings that take effect while it runs
 * -------------------------------------------------------------------------------------------------
 */

#define IMCTL_SETTINGS_TABLE "imctl.settings/1"

typedef struct imctl_settings_table {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  /* Only settings that are declared `live` differ from those that the instance has. They are in
   * force when it returns IMCTL_OK; else the old ones are. Another copy's prepare has accepted
   * them. Comes between activate and quiesce, while calls are served. [lifecycle] */
  int32_t (*apply)(void* instance, const imctl_settings* settings, imctl_error* error);
} imctl_settings_table;

/* ---- "imctl.state/1": offered by a module, for those who look for what is wrong
 * ------------------------------------------------------------------------------------------------- */

#define IMCTL_STATE_TABLE "imctl.state/1"

typedef struct imctl_state_table {
  uint32_t struct_size;
  uint32_t flags; /* 0 */
  /* Tells what the instance has to say of itself: queues, caches, how far it is behind, who it is
   * connected to. `item` is called for each thing, before this returns, with a name like
   * "queue_bytes" and a value for people to read; both are copied. No secrets. Between activate and
   * quiesce, while calls are served; soon, whatever the module waits for. [lifecycle] */
  void (*report)(void* instance, void (*item)(void* sink, imctl_str name, imctl_str value),
                 void* sink);
} imctl_state_table;

/* Reserved: "imctl.frontend/1", for modules that bring calls in from outside. */

#ifdef __cplusplus
}
#endif

#endif /* IMCTL_MODULE_H */
