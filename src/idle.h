// What idle threads have in their bins: taken back by the helper while they sleep.
//
// A bin belongs to its thread, whose fast paths use plain loads and stores and must not pay for
// anybody else. Yet another thread can get at it, in steps, with some time in between, in which
// whatever a processor had in its store buffer has long become visible:
//
//   ASKED   `end` of each bin is NULL: a free finds the bin full and goes to the slow path, where
//           the thread ends all this. From now on the bin can only shrink.
//   FENCED  the topmost slot is NULL, its block kept aside: malloc finds the bin empty and goes to
//           the slow path, too.
//   TAKEN   malloc moves the top before it reads the slot (bin_pop). So where the top still is
//           where it was, the thread has no block in hand, and all of them go back to their spans.
//           Where it has moved the thread has the topmost block, or is about to find the slot
//           empty: the bin is left as it is until the thread comes by and knows.
//
// On a slow path the thread says so first (idle_enter): then the helper keeps away from its bins,
// or the thread waits until it is done.
#ifndef LUCID_IDLE_H
#define LUCID_IDLE_H

#include "layout.h"

void idle_end(struct heap *heap);

// Around everything that the heap's thread does to bins off the fast paths. May be nested. True:
// the bins were the helper's, and have become the thread's again just now.
static inline bool idle_enter(struct heap *heap) {
    uint32_t inside = atomic_load_explicit(&heap->busy, memory_order_relaxed);
    atomic_store_explicit(&heap->busy, inside + 1, memory_order_relaxed);
    // Of the compiler only; the processor's order is a matter of time, see above.
    atomic_signal_fence(memory_order_seq_cst);
    if (unlikely(atomic_load_explicit(&heap->idle, memory_order_acquire) != IDLE_NO)) {
        idle_end(heap);
        return true;
    }
    return false;
}

static inline void idle_leave(struct heap *heap) {
    uint32_t inside = atomic_load_explicit(&heap->busy, memory_order_relaxed);
    atomic_store_explicit(&heap->busy, inside - 1, memory_order_release);
}

// One look of the helper at all heaps; `age`: how long a thread must have been quiet. Returns after
// how many milliseconds it wants to look again, 0: there is nothing to wait for. `taken` tells
// whether blocks went back to their spans.
uint32_t idle_look(uint32_t age, bool *taken);

// Asks the heap's thread for all that is in its bins: it gives that back when it next finds a bin
// empty, or frees a block of a class that it has blocks of. Until then, and if the thread never
// comes by, the blocks stay.
void idle_ask(struct heap *heap);

// Takes what all threads but that of `mine` have in their bins, without waiting until they are
// quiet: in steps, too, which takes about 50 ms. Returns false at once when there is nothing. By
// any thread that holds no lock.
bool idle_take_all(const struct heap *mine);

// In the child of a fork, for each heap, before anything else looks at its bins.
void idle_after_fork(struct heap *heap);

#endif
