// The one way lucid ends a process: a line on file descriptor 2, then SIGABRT.
//   PROG(PID) lucid: FUNCTION(): KIND 0xPOINTER (details)
// Takes no lock and allocates nothing, so it works whatever the state of the heap.
#ifndef LUCID_PANIC_H
#define LUCID_PANIC_H

#include "base.h"
#include "text.h"

// The program misused the heap. `function` is the public function it called, `kind` what is
// wrong with `pointer`; the details (block, span) are looked up here.
_Noreturn void panic_misuse(const char *function, const char *kind, const void *pointer);

struct mapping;

// The same of a pointer into a block with a mapping of its own. Those are not looked up here,
// because that takes a lock: block_panic does, before it comes here.
_Noreturn void panic_mapped(const char *function, const char *kind, const void *pointer,
                            const struct mapping *mapping);

// The same line without the end of the process, for who has more to say before it.
void panic_describe(const char *function, const char *kind, const void *pointer);

// Begins a line in a buffer of that size: `PROG(PID) lucid: `.
struct text panic_begin(char *buffer, size_t capacity);

// lucid found its own state broken, or cannot work on this machine.
_Noreturn void panic_broken(const char *what, uint64_t number);

// An invariant that only checked builds verify.
static inline void check(bool holds, const char *invariant, uint64_t number) {
    if (LUCID_CHECKED && unlikely(!holds)) {
        panic_broken(invariant, number);
    }
}

#endif
