/* @NAME@: one method, one setting, one kind of record, in plain C with protobuf-c. */
#include "@IDENT@.pb-c.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "imctl/c_helpers.h"
#include "imctl/storage/v1/records.pb-c.h"

typedef @TYPE@__V1__GreetRequest GreetRequest;
typedef @TYPE@__V1__GreetReply GreetReply;
typedef @TYPE@__V1__Greeted Greeted;

typedef struct module {
  imctl_host* host;
  const imctl_client_table* client;
  const imctl_target* get;
  const imctl_target* put;
  imctl_method method;
  pthread_mutex_t mutex; /* guards greeting */
  char* greeting;
} module;

/* One call of Greet, from its start to its end. */
typedef struct greeting {
  module* self;
  imctl_call* call;
  int dry_run;
  GreetRequest* request;
  uint64_t times;
} greeting;

/* ---- messages and buffers */

static imctl_buffer* pack(module* self, const void* message) {
  imctl_buffer* buffer = self->host->buffer_new(self->host, protobuf_c_message_get_packed_size(message));
  if (buffer != NULL) protobuf_c_message_pack(message, buffer->data);
  return buffer;
}

static void* unpack(const ProtobufCMessageDescriptor* type, imctl_buffer* bytes) {
  return protobuf_c_message_unpack(type, NULL, bytes->size, bytes->data);
}

static void drop(void* message) {
  if (message != NULL) protobuf_c_message_free_unpacked(message, NULL);
}

/* ---- Greet: read the record, write it, answer */

static void read_record(greeting* g);

static void end(greeting* g) {
  drop(g->request);
  free(g);
}

static void fail(greeting* g, const imctl_status* status) {
  imctl_finish_status(g->self->host, g->call, status);
  end(g);
}

static void fail_with(greeting* g, int32_t code, const char* message) {
  imctl_finish_error(g->self->host, g->call, code, message);
  end(g);
}

static void answer(greeting* g) {
  module* self = g->self;
  GreetReply reply = @UPPER@__V1__GREET_REPLY__INIT;
  pthread_mutex_lock(&self->mutex);
  size_t size = strlen(self->greeting) + strlen(g->request->who) + 4;
  char* text = malloc(size);
  if (text != NULL) snprintf(text, size, "%s, %s!", self->greeting, g->request->who);
  pthread_mutex_unlock(&self->mutex);
  if (text == NULL) {
    fail_with(g, IMCTL_RESOURCE_EXHAUSTED, "no memory for the reply");
    return;
  }
  reply.text = text;
  reply.times = g->times;
  self->host->finish(g->call, NULL, pack(self, &reply));
  free(text);
  end(g);
}

static void on_put(void* user, const imctl_status* status, imctl_buffer* bytes) {
  greeting* g = user;
  if (bytes != NULL) g->self->host->buffer_release(bytes);
  if (status == NULL) {
    answer(g);
  } else if (status->code == IMCTL_ALREADY_EXISTS || status->code == IMCTL_FAILED_PRECONDITION) {
    read_record(g); /* somebody else wrote it meanwhile */
  } else {
    fail(g, status);
  }
}

static void on_get(void* user, const imctl_status* status, imctl_buffer* bytes) {
  static const imctl_client_events kOnPut = {sizeof(kOnPut), 0, NULL, NULL, on_put};
  greeting* g = user;
  module* self = g->self;
  if (status != NULL && status->code != IMCTL_NOT_FOUND) {
    fail(g, status);
    return;
  }
  Imctl__Storage__V1__PutRecordRequest put = IMCTL__STORAGE__V1__PUT_RECORD_REQUEST__INIT;
  Greeted greeted = @UPPER@__V1__GREETED__INIT;
  if (status == NULL) {
    Imctl__Storage__V1__Record* record = unpack(&imctl__storage__v1__record__descriptor, bytes);
    Greeted* before = NULL;
    if (record != NULL) {
      before = @IDENT@__v1__greeted__unpack(NULL, record->value.len, record->value.data);
    }
    if (before != NULL) {
      greeted.times = before->times;
      put.condition_case = IMCTL__STORAGE__V1__PUT_RECORD_REQUEST__CONDITION_REVISION;
      put.revision = record->revision;
    }
    int damaged = before == NULL;
    drop(before);
    drop(record);
    self->host->buffer_release(bytes);
    if (damaged) {
      fail_with(g, IMCTL_DATA_LOSS, "the record of who is greeted is damaged");
      return;
    }
  } else {
    put.condition_case = IMCTL__STORAGE__V1__PUT_RECORD_REQUEST__CONDITION_CREATE;
    put.create = 1;
  }
  g->times = ++greeted.times;
  if (g->dry_run) {
    answer(g);
    return;
  }
  uint8_t value[32];
  put.collection = "greeted";
  put.key = g->request->who;
  put.value.data = value;
  put.value.len = protobuf_c_message_pack(&greeted.base, value);
  imctl_client_options options = {sizeof(options), 0, NULL, 0, NULL, 0};
  self->client->release(
      self->client->start(self->host, self->put, &options, pack(self, &put), &kOnPut, g));
}

static void read_record(greeting* g) {
  static const imctl_client_events kOnGet = {sizeof(kOnGet), 0, NULL, NULL, on_get};
  module* self = g->self;
  Imctl__Storage__V1__GetRecordRequest get = IMCTL__STORAGE__V1__GET_RECORD_REQUEST__INIT;
  get.collection = "greeted";
  get.key = g->request->who;
  imctl_client_options options = {sizeof(options), 0, NULL, 0, NULL, 0};
  self->client->release(
      self->client->start(self->host, self->get, &options, pack(self, &get), &kOnGet, g));
}

static void greet(void* user, imctl_call* call, const imctl_context* context, imctl_buffer* bytes) {
  module* self = user;
  GreetRequest* request = unpack(&@IDENT@__v1__greet_request__descriptor, bytes);
  self->host->buffer_release(bytes);
  greeting* g = request == NULL ? NULL : calloc(1, sizeof(*g));
  if (g == NULL) {
    drop(request);
    imctl_finish_error(self->host, call, IMCTL_INVALID_ARGUMENT, "the request is not valid");
    return;
  }
  g->self = self;
  g->call = call;
  g->dry_run = (context->flags & IMCTL_DRY_RUN) != 0;
  g->request = request;
  if (request->who[0] == '\0') {
    fail_with(g, IMCTL_INVALID_ARGUMENT, "whom? Name somebody in `who`");
    return;
  }
  read_record(g);
}

/* ---- the module's life */

static int32_t create(imctl_host* host, void** instance, imctl_error* error) {
  module* self = calloc(1, sizeof(*self));
  if (self == NULL) return imctl_fail(error, IMCTL_RESOURCE_EXHAUSTED, "no memory");
  self->host = host;
  self->client = host->get_table(host, imctl_text(IMCTL_CLIENT_TABLE));
  if (self->client == NULL) {
    free(self);
    return imctl_fail(error, IMCTL_UNIMPLEMENTED, "the host has no " IMCTL_CLIENT_TABLE);
  }
  self->get = self->client->resolve(host, imctl_text("/imctl.storage.v1.Records/Get"));
  self->put = self->client->resolve(host, imctl_text("/imctl.storage.v1.Records/Put"));
  imctl_method method = {sizeof(method), 0, imctl_text("/@IDENT@.v1.@TYPE@/Greet"), greet, self};
  self->method = method;
  pthread_mutex_init(&self->mutex, NULL);
  *instance = self;
  return IMCTL_OK;
}

static const imctl_method* methods(void* instance, size_t* count) {
  module* self = instance;
  *count = 1;
  return &self->method;
}

/* Before it starts, and for settings that are `live` at any time later. */
static int32_t take_settings(void* instance, const imctl_settings* settings, imctl_error* error) {
  module* self = instance;
  @TYPE@__V1__Config* config = @IDENT@__v1__config__unpack(
      NULL, settings->config.size, (const uint8_t*)settings->config.data);
  char* copy = config == NULL ? NULL : strdup(config->greeting);
  drop(config);
  if (copy == NULL) return imctl_fail(error, IMCTL_INVALID_ARGUMENT, "the settings are not valid");
  pthread_mutex_lock(&self->mutex);
  char* before = self->greeting;
  self->greeting = copy;
  pthread_mutex_unlock(&self->mutex);
  free(before);
  return IMCTL_OK;
}

static void destroy(void* instance) {
  module* self = instance;
  pthread_mutex_destroy(&self->mutex);
  free(self->greeting);
  free(self);
}

static const void* get_table(void* instance, imctl_str name) {
  static const imctl_settings_table kSettings = {sizeof(kSettings), 0, take_settings};
  (void)instance;
  return imctl_same(name, IMCTL_SETTINGS_TABLE) ? &kSettings : NULL;
}

IMCTL_EXPORT const imctl_module* imctl_module_entry(void) {
  static const imctl_module kModule = {sizeof(kModule), IMCTL_ABI, create, methods, take_settings,
                                       NULL,            NULL,      NULL,   destroy, get_table};
  return &kModule;
}
