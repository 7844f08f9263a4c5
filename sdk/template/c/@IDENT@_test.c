/* The module in a host in this process, with a storage in memory. */
#include "@IDENT@.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imctl/testing_c.h"

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);   \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

static imctl_test_host* open_host(const char* setting) {
  const char* modules[] = {IMCTL_TEST_MODULE};
  const char* settings[] = {setting};
  imctl_test_options options = {sizeof(options), IMCTL_TEST_MEMORY, modules, 1,
                                settings,        setting != NULL,   NULL,    0};
  char error[1000];
  imctl_test_host* host = imctl_test_open(&options, error, sizeof(error));
  if (host == NULL) fprintf(stderr, "%s\n", error);
  CHECK(host != NULL);
  return host;
}

static void close_host(imctl_test_host* host) {
  char error[1000];
  int failed = imctl_test_close(host, error, sizeof(error));
  if (failed) fprintf(stderr, "%s\n", error);
  CHECK(!failed);
}

/* Gives how the call ended, and `text` and `times` of its reply if that was well. */
static int greet(imctl_test_host* host, const char* who, int dry_run, char* text, uint64_t* times) {
  @TYPE@__V1__GreetRequest request = @UPPER@__V1__GREET_REQUEST__INIT;
  uint8_t bytes[100];
  request.who = (char*)who;
  size_t size = @IDENT@__v1__greet_request__pack(&request, bytes);
  imctl_test_call_options options = {sizeof(options), IMCTL_PRINCIPAL_ADMIN, "test", 0, dry_run, NULL, 0};
  imctl_test_call* call =
      imctl_test_start(host, "/@IDENT@.v1.@TYPE@/Greet", bytes, size, &options);
  imctl_str reply;
  int code = imctl_test_finish(call, NULL, &reply);
  if (code == IMCTL_OK) {
    @TYPE@__V1__GreetReply* got =
        @IDENT@__v1__greet_reply__unpack(NULL, reply.size, (const uint8_t*)reply.data);
    CHECK(got != NULL);
    snprintf(text, 100, "%s", got->text);
    *times = got->times;
    @IDENT@__v1__greet_reply__free_unpacked(got, NULL);
  }
  imctl_test_release(call);
  return code;
}

int main(void) {
  char text[100];
  uint64_t times = 0;
  char error[1000];

  imctl_test_host* host = open_host(NULL);
  for (uint64_t expected = 1; expected <= 3; ++expected) {
    CHECK(greet(host, "Ann", 1, text, &times) == IMCTL_OK);
    CHECK(times == expected); /* a dry run changes nothing */
    CHECK(greet(host, "Ann", 0, text, &times) == IMCTL_OK);
    CHECK(times == expected);
    CHECK(strcmp(text, "Hello, Ann!") == 0);
  }
  CHECK(greet(host, "", 0, text, &times) == IMCTL_INVALID_ARGUMENT);
  CHECK(imctl_test_reload(host, "@NAME@", error, sizeof(error)) == 0);
  CHECK(greet(host, "Ann", 0, text, &times) == IMCTL_OK);
  CHECK(times == 4);
  close_host(host);

  host = open_host("@NAME@.greeting=Good morning");
  CHECK(greet(host, "Ann", 0, text, &times) == IMCTL_OK);
  CHECK(strcmp(text, "Good morning, Ann!") == 0);
  CHECK(times == 1);
  close_host(host);
  return 0;
}
