/* A unary method and one that streams both ways, at the level of the ABI. */
#include <stdlib.h>

#include "adder.pb-c.h"
#include "imctl/c_helpers.h"

typedef struct adder {
  imctl_host* host;
  const imctl_call_table* calls;
  imctl_method methods[2];
} adder;

static imctl_buffer* pack_sum(adder* self, int64_t sum) {
  Adder__V1__AddReply reply = ADDER__V1__ADD_REPLY__INIT;
  reply.sum = sum;
  imctl_buffer* bytes = self->host->buffer_new(self->host, adder__v1__add_reply__get_packed_size(&reply));
  if (bytes != NULL) adder__v1__add_reply__pack(&reply, bytes->data);
  return bytes;
}

static int64_t plus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }

/* ---- Add */

static void add(void* user, imctl_call* call, const imctl_context* context, imctl_buffer* bytes) {
  adder* self = user;
  Adder__V1__AddRequest* request = adder__v1__add_request__unpack(NULL, bytes->size, bytes->data);
  (void)context;
  self->host->buffer_release(bytes);
  if (request == NULL) {
    imctl_finish_error(self->host, call, IMCTL_INVALID_ARGUMENT, "the request is not valid");
    return;
  }
  int64_t sum = 0;
  for (size_t i = 0; i < request->n_numbers; ++i) sum = plus(sum, request->numbers[i]);
  adder__v1__add_request__free_unpacked(request, NULL);
  self->host->finish(call, NULL, pack_sum(self, sum));
}

/* ---- Tally: read, write, read again. Its events come one after the other, never beside each other. */

typedef struct tally {
  adder* self;
  imctl_call* call;
  int64_t sum;
} tally;

static void on_message(void* user, imctl_buffer* bytes) {
  tally* t = user;
  if (bytes == NULL) { /* the client is done, or gone */
    t->self->host->finish(t->call, NULL, NULL);
    return;
  }
  Adder__V1__TallyRequest* request = adder__v1__tally_request__unpack(NULL, bytes->size, bytes->data);
  t->self->host->buffer_release(bytes);
  if (request == NULL) {
    imctl_finish_error(t->self->host, t->call, IMCTL_INVALID_ARGUMENT, "a message is not valid");
    return;
  }
  t->sum = plus(t->sum, strtoll(request->number, NULL, 10));
  adder__v1__tally_request__free_unpacked(request, NULL);
  t->self->calls->write(t->call, pack_sum(t->self, t->sum));
}

static void on_written(void* user, int32_t accepted) {
  tally* t = user;
  if (accepted) {
    t->self->calls->read(t->call);
  } else {
    imctl_finish_error(t->self->host, t->call, IMCTL_CANCELLED, "the stream is gone");
  }
}

/* The last of its events: nobody uses it any more. */
static void on_released(void* user) { free(user); }

static void start_tally(void* user, imctl_call* call, const imctl_context* context,
                        imctl_buffer* bytes) {
  static const imctl_call_events kEvents = {sizeof(kEvents), 0,           on_message, on_written,
                                            NULL,            on_released, NULL};
  adder* self = user;
  tally* t = calloc(1, sizeof(*t));
  (void)context;
  (void)bytes; /* NULL: the client streams */
  if (t == NULL) {
    imctl_finish_error(self->host, call, IMCTL_RESOURCE_EXHAUSTED, "no memory");
    return;
  }
  t->self = self;
  t->call = call;
  self->calls->bind(call, &kEvents, t);
  self->calls->read(call);
}

/* ---- the module */

static int32_t create(imctl_host* host, void** instance, imctl_error* error) {
  adder* self = calloc(1, sizeof(*self));
  if (self == NULL) return imctl_fail(error, IMCTL_RESOURCE_EXHAUSTED, "no memory");
  self->host = host;
  self->calls = host->get_table(host, imctl_text(IMCTL_CALL_TABLE));
  if (self->calls == NULL) {
    free(self);
    return imctl_fail(error, IMCTL_UNIMPLEMENTED, "the host has no " IMCTL_CALL_TABLE);
  }
  self->methods[0] =
      (imctl_method){sizeof(imctl_method), 0, imctl_text("/adder.v1.Adder/Add"), add, self};
  self->methods[1] =
      (imctl_method){sizeof(imctl_method), 0, imctl_text("/adder.v1.Adder/Tally"), start_tally, self};
  *instance = self;
  return IMCTL_OK;
}

static const imctl_method* methods(void* instance, size_t* count) {
  *count = 2;
  return ((adder*)instance)->methods;
}

static void destroy(void* instance) { free(instance); }

IMCTL_EXPORT const imctl_module* imctl_module_entry(void) {
  static const imctl_module kModule = {sizeof(kModule), IMCTL_ABI, create,  methods, NULL, NULL,
                                       NULL,            NULL,      destroy, NULL};
  return &kModule;
}
