// The state of a span in one word, and every way it may change. This header is all of the
// protocol between threads that take blocks out of a span and threads that give blocks back; the
// model in tests/model explores the same steps.
//
//   bit 0      HELD    one thread owns the span: it alone takes blocks, carves, lists, destroys
//   bit 1      LISTED  the span is on its class's list; changed only by who has HELD, under the
//                      list's lock
//   bits 2..31 count   signed: free blocks, those never carved included
//
// States, and who moves them (N = blocks in the span):
//   held              taker: take blocks (count falls), then release
//   full              not HELD, not LISTED, count <= 0: nobody looks at it until a block returns
//   listed            not HELD, LISTED, 0 < count < N: a taker may get it through the list
//   claimed           HELD by a giver whose blocks made a full span usable or a listed one empty,
//                     or by whoever looks after listed spans: they list it or return its units.
//                     LISTED until they have taken it off its list
//
// A giver first sets the free bits, then adds to the count. In between a taker may take those
// very bits, so the count can be transiently too low, even below zero, but never too high:
//   count == N - blocks out - blocks whose giver has not counted them yet
// Therefore count == N proves that no block is out and no giver is under way: the span is ours
// to destroy. Adding to the count and taking HELD are one compare-and-swap, so that exactly one
// thread sees each such moment.
#ifndef LUCID_SPANSTATE_H
#define LUCID_SPANSTATE_H

#include "base.h"

#define SPAN_HELD 1u
#define SPAN_LISTED 2u
#define SPAN_COUNT_SHIFT 2u

static inline int32_t span_count(uint32_t state) {
    return (int32_t)state >> SPAN_COUNT_SHIFT;
}

static inline uint32_t span_state(uint32_t flags, uint32_t count) {
    return count << SPAN_COUNT_SHIFT | flags;
}

static inline bool state_swap(_Atomic uint32_t *state, uint32_t *old, uint32_t new) {
    return atomic_compare_exchange_weak_explicit(state, old, new, memory_order_acq_rel,
                                                 memory_order_acquire);
}

// The holder took k blocks. pre: HELD by the caller.
static inline void span_held_take(_Atomic uint32_t *state, uint32_t k, bool alone) {
    if (alone) {
        uint32_t old = atomic_load_explicit(state, memory_order_relaxed);
        atomic_store_explicit(state, old - (k << SPAN_COUNT_SHIFT), memory_order_relaxed);
    } else {
        (void)atomic_fetch_sub_explicit(state, k << SPAN_COUNT_SHIFT, memory_order_acq_rel);
    }
}

// Must a giver whose addition leads from `old` to `new` take care of the span?
static inline bool span_needs_claim(uint32_t old, uint32_t new, uint32_t blocks) {
    if (old & SPAN_HELD) {
        return false; // its holder will see the new count when it lets go
    }
    if (likely(old & SPAN_LISTED)) {
        return unlikely(span_count(new) == (int32_t)blocks); // empty: its units go back
    }
    return span_count(new) > 0; // usable again: onto the list
}

// k blocks whose free bits are already set come back. True: the caller now has HELD and must
// list or destroy the span (span_release). `alone`: the process has one thread.
static inline bool span_give(_Atomic uint32_t *state, uint32_t k, uint32_t blocks, bool alone) {
    uint32_t old = atomic_load_explicit(state, memory_order_relaxed);
    for (;;) {
        uint32_t new = old + (k << SPAN_COUNT_SHIFT);
        bool claim = span_needs_claim(old, new, blocks);
        new |= claim ? SPAN_HELD : 0;
        if (alone) {
            atomic_store_explicit(state, new, memory_order_relaxed);
            return claim;
        }
        if (state_swap(state, &old, new)) {
            return claim;
        }
    }
}

// A taker that found the span on its list. pre: the list's lock is held. False: somebody has
// claimed it; it stays LISTED until its claimer unlists it.
static inline bool span_listed_to_held(_Atomic uint32_t *state) {
    uint32_t old = atomic_load_explicit(state, memory_order_relaxed);
    do {
        if (old & SPAN_HELD) {
            return false;
        }
    } while (!state_swap(state, &old, (old | SPAN_HELD) & ~SPAN_LISTED));
    return true;
}

// Whoever comes across a span that is listed and not held may claim it, as a giver does whose
// blocks made it empty: it stays LISTED until its claimer has taken it off the list. False: it is
// not on a list, or somebody has it. A word with LISTED and without HELD is never that of a run
// which is no span: spans are destroyed HELD and not LISTED.
static inline bool span_listed_to_claimed(_Atomic uint32_t *state) {
    uint32_t old = atomic_load_explicit(state, memory_order_relaxed);
    do {
        if ((old & (SPAN_HELD | SPAN_LISTED)) != SPAN_LISTED) {
            return false;
        }
    } while (!state_swap(state, &old, old | SPAN_HELD));
    return true;
}

// The holder lets a span go that has no free block. False: it has some meanwhile.
static inline bool span_held_to_full(_Atomic uint32_t *state) {
    uint32_t old = atomic_load_explicit(state, memory_order_relaxed);
    do {
        if (span_count(old) > 0) {
            return false;
        }
    } while (!state_swap(state, &old, old & ~SPAN_HELD));
    return true;
}

// The holder has put the span on the list. pre: the list's lock is held. False: it became empty
// meanwhile and is still HELD: take it off again and destroy it.
static inline bool span_held_to_listed(_Atomic uint32_t *state, uint32_t blocks) {
    uint32_t old = atomic_load_explicit(state, memory_order_relaxed);
    do {
        if (span_count(old) == (int32_t)blocks) {
            return false;
        }
    } while (!state_swap(state, &old, (old & ~SPAN_HELD) | SPAN_LISTED));
    return true;
}

// The claimer of a listed span has taken it off the list. pre: the list's lock is held.
static inline void span_unlist(_Atomic uint32_t *state) {
    (void)atomic_fetch_and_explicit(state, ~SPAN_LISTED, memory_order_acq_rel);
}

#endif
