// The calls that led to a place, without unwind tables, frame pointers or allocation: words on the
// stack that point into code right behind a call instruction. A word left over from an earlier
// call may be among them; a frame deeper than STACK_WINDOW bytes is not.
#ifndef LUCID_STACKTRACE_H
#define LUCID_STACKTRACE_H

#include "base.h"

#define STACK_WINDOW ((size_t)2048)

// Collects up to `room` return addresses from the stack above `from`, innermost first, those
// inside this library left out. Returns how many.
unsigned stacktrace_collect(uintptr_t from, uint64_t *frames, unsigned room);

// Writes one line for each address to standard error: address, module and offset in it.
void stacktrace_print(const uint64_t *frames, unsigned count);

#endif
