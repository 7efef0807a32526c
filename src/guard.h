// Sampled guard pages (option `guard`=1/N): about one in N small blocks that bins are refilled
// with comes from a pool of slots of one page each, every slot between pages without access. The
// block lies right against one of them, and its page loses all access when it is freed: overflow,
// underflow and use after free fault, and the report says which block it was and where it was
// allocated and freed.
//
// Costs nothing on the fast paths, and one compare where a bin is refilled. Calls that bins serve
// again and again are not sampled: what is sampled is the stream of blocks out of the spans, and of
// each refill at most one.
//
// Everything is made at the first sample: the pool's address space and the SIGSEGV handler.
#ifndef LUCID_GUARD_H
#define LUCID_GUARD_H

#include "layout.h"

#define GUARD_NEVER SIZE_MAX // instead of a size: not to be sampled

// Is it time for a sample? Asked when a bin is empty.
static inline bool guard_due(const struct heap *heap) {
    return unlikely(heap->counters.refill_blocks > heap->guard_next);
}

// A guarded block of `size` bytes, or NULL: not now. pre: guard_due(heap), size > 0.
void *guard_sample(struct heap *heap, size_t size);

// Does the address lie in the pool?
bool guard_holds(const void *pointer);

// Bytes the program asked for. Panics, naming `function`, unless the pointer is a guarded block in
// use. pre: guard_holds(pointer).
size_t guard_size(const void *pointer, const char *function);

// pre: guard_size() was fine.
void guard_free(void *pointer, const char *function);

void guard_after_fork(void);

#endif
