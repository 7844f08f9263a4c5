/* A few lines that every module in plain C would write itself. Nothing here is part of the ABI. */
#ifndef IMCTL_C_HELPERS_H
#define IMCTL_C_HELPERS_H

#include <stdio.h>
#include <string.h>

#include "imctl/module.h"

/* A string of C as the ABI has it. */
static inline imctl_str imctl_text(const char* text) {
  imctl_str made = {text, strlen(text)};
  return made;
}

static inline int imctl_same(imctl_str text, const char* other) {
  return text.size == strlen(other) && memcmp(text.data, other, text.size) == 0;
}

/* Why a step of the module's life fails: `return imctl_fail(error, IMCTL_..., "...");` */
static inline int32_t imctl_fail(imctl_error* error, int32_t code, const char* message) {
  error->code = code;
  snprintf(error->message, sizeof(error->message), "%s", message);
  return code;
}

/* Ends a call with an error. */
static inline void imctl_finish_error(imctl_host* host, imctl_call* call, int32_t code,
                                      const char* message) {
  imctl_status status = {sizeof(status), code, imctl_text(message), {NULL, 0}};
  host->finish(call, &status, NULL);
}

/* Ends a call with the error that another call ended with. */
static inline void imctl_finish_status(imctl_host* host, imctl_call* call,
                                       const imctl_status* status) {
  host->finish(call, status, NULL);
}

#endif /* IMCTL_C_HELPERS_H */
