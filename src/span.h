// Spans: runs of units that hold blocks of one class. Nobody owns a span; one thread at a time
// holds it for taking blocks out, anybody may give blocks back at any time (spanstate.h).
#ifndef LUCID_SPAN_H
#define LUCID_SPAN_H

#include "layout.h"

// A new span of the class for a region, held by it for good. 0: no memory. Not linked anywhere.
uint32_t span_new_for(unsigned class, struct lucid_region *region);

// Gives the units of a region's span back, whatever blocks are out.
void span_end(uint32_t head);

// Takes a held span of the class for a thread of the lane: one on the lane's list, else a new one.
// With `shares` one on another lane's list comes before any new one; without, before all but those
// for which the lane has a loose run. Returns its head, or 0 when there is no memory.
uint32_t span_acquire(unsigned class, unsigned lane, bool shares);

// Lets a held span go: onto its list, back to the pool, or nowhere when it is full.
void span_release(uint32_t head);

// The same for the one that a heap holds; 0: it holds none.
static inline void span_let_go(uint32_t *held) {
    uint32_t head = *held;
    if (head != 0) {
        *held = 0;
        span_release(head);
    }
}

// Takes up to `want` blocks (1 <= want) out of a held span and stores their addresses so that
// the lowest comes last. Returns how many; 0: the span has none. `out` needs room for `want`.
unsigned span_take(uint32_t head, unsigned want, void **out);

// Takes a span that is on its list and that nobody holds, whoever it may be. False: this is none.
bool span_hold_listed(uint32_t head);

// As span_release, but the span is the last of its list to be used again.
void span_release_last(uint32_t head);

// Gives `count` blocks of one class back, whichever spans they belong to. Panics, naming
// `function`, when one of them is no block or is free already.
// Returns how many words of free bits they went to: few for neighbours, as many as there are blocks
// for those from all over the heap.
unsigned span_give_all(unsigned class, void *const *blocks, unsigned count, const char *function);

// One block without a bin, for threads that have none. NULL: no memory.
void *span_take_one(unsigned class);

// Is the block's free bit set? pre: head is a span, index < its blocks.
static inline bool span_is_free(const struct run *span, unsigned index) {
    return atomic_load_explicit(&span->free[index / 64], memory_order_relaxed) >> index % 64 & 1;
}

// In the child of a fork, before span_after_fork: sets the block's free bit if it is a block of
// this class; nothing else changes.
void span_mark_free(unsigned class, const void *block);

// In the child of a fork: counts and lists are made anew from the bitmaps; no span is held.
void span_after_fork(void);

// Checked builds: verifies a span that the caller holds while no other thread gives.
void span_check(uint32_t head);

#endif
