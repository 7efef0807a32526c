// The pool: runs of units that are free again, those with dirty units apart, because reusing them
// costs no page fault. Either side has shelves, each with runs of similar length, and a word that
// says which are filled; a shelf is a tree by length and then address. So the best fit with the
// lowest address is found without a search among runs of very different length, and in O(log n)
// among its own.
//
// The trees are treaps whose priorities are a hash of the unit number (Seidel and Aragon,
// "Randomized Search Trees", 1996); they live in the run records and can be rebuilt from the
// tiling of the arena at any time.
//
// All functions: pre: root.live.pool.lock is held.
#ifndef LUCID_POOL_H
#define LUCID_POOL_H

#include "layout.h"

// Where runs of that length lie.
static inline unsigned pool_shelf_of(uint32_t length) {
    if (length < POOL_SHELVES_EXACT) {
        return length;
    }
    unsigned doubling = bit_highest(length);
    unsigned shelf = (doubling << 2) + (length >> (doubling - 2) & 3);
    return (unsigned)min_size(shelf, POOL_SHELVES - 1);
}

_Static_assert(POOL_SHELVES_EXACT == 4 << 2,
               "the first shared shelf follows the last of one length");

// Takes a run of at least `units` units out of one side. Returns its head or 0; its shape stays
// RUN_FREE until the caller changes it.
uint32_t pool_take(enum pool_side side, uint32_t units);

// Puts a run in that is already RUN_FREE, has its units marked and its `dirty` counted.
void pool_insert(uint32_t head);

// Takes a given free run out.
void pool_remove(uint32_t head);

// The free run that ends just before `unit`, or 0.
uint32_t pool_run_before(uint32_t unit);

// The longest run with dirty units that is free since `limit` (low half of os_now_ms) or longer,
// or 0. Looks at no more than `visits` younger ones on the way.
uint32_t pool_aged_dirty(uint32_t limit, unsigned visits);

// How many of `count` units, none of them in use, may hold old data.
uint32_t pool_count_dirty(uint32_t first, uint32_t count);

// The next shorter run of one side (of one length: the next lower one), the longest for 0. 0: none.
uint32_t pool_next(enum pool_side side, uint32_t head);

// Forgets all runs; the caller inserts them again.
void pool_reset(void);

#endif
