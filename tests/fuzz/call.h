// One call of a function that allocates, resizes or frees, with its oracle.
#ifndef FUZZ_CALL_H
#define FUZZ_CALL_H

#include "input.h"

#include <stdbool.h>

// Failures are being injected: functions may return NULL with ENOMEM for possible sizes too.
extern bool call_may_fail;

// These run on the thread that calls them.
void call_allocate(struct input *input);  // one of the nine ways to a new block
void call_resize(struct input *input);    // realloc or reallocarray of a block in use, or of NULL
void call_free(struct input *input);      // one of the three ways to give a block back
void call_verify(struct input *input);    // contents and usable size of one block
void call_burst(struct input *input);     // many blocks of one size
void call_free_many(struct input *input); // many blocks, every one or every second
void call_free_all(void);

#endif
