// The arena: one contiguous range of units that begins at the program break and grows with it.
// Here units become runs and runs become units again; nobody else changes a run's shape.
#ifndef LUCID_ARENA_H
#define LUCID_ARENA_H

#include "root.h"

// Makes the tables and takes the first piece of memory. Called once, under the start-up lock.
// False: no memory; may be tried again.
bool arena_init(void);

// Takes a run of `units` units whose first address is a multiple of `alignment` (a power of two;
// UNIT_SIZE or less: always so). Returns the head or 0 when there is no memory. The run has
// shape `kind`; its units' bin is 0 and their back set. run->dirty tells how many of its units
// may hold old data; with `zero` these are cleared.
uint32_t arena_take(uint32_t units, size_t alignment, enum run_kind kind, bool zero);

// Takes a run that was used before, for a span of a thread of the lane: as arena_take with
// UNIT_SIZE and RUN_BUSY. 0: there is none; arena_take may make one of loose runs side by side.
uint32_t arena_take_used(uint32_t units, unsigned lane);

// Makes free runs of all loose ones.
void arena_drain(void);

// The same for those that were loose already at the last call of this. They count as free since.
void arena_drain_old(void);

// Has the first `bytes` of a clean run put there at once. It may stay as it is: where huge pages
// were asked for, one fault brings more, and not every kernel can.
void arena_populate(uint32_t head, size_t bytes);

// Gives a run back. The first `dirty` units of it may hold data.
void arena_give(uint32_t head, uint32_t dirty);

// Is some thread taking or giving runs at this moment?
static inline bool arena_is_busy(void) {
    return atomic_load_explicit(&root.live.pool.lock, memory_order_relaxed) != 0;
}

// Gives a large run back. False: it was none any more (two threads freed it at once).
bool arena_free_large(uint32_t head);

// The same, but the lane keeps it for its next large block: one of at most LOOSE_UNITS_MAX, or, of
// those that are longer, the last.
bool arena_keep_large(uint32_t head, unsigned lane);

// Takes a run of that length that the lane kept; it is RUN_BUSY, its units are marked, and all of
// them dirty. 0: there is none.
uint32_t arena_take_kept(uint32_t units, size_t alignment, unsigned lane);

// Makes a large run longer in place if what follows is free. True: it is `units` long now.
bool arena_extend(uint32_t head, uint32_t units);

// Makes a large run shorter; the rest goes to the pool.
void arena_shrink(uint32_t head, uint32_t units);

// Joins [head, head + length), whose units are marked, with free neighbours and puts the result
// into the pool. pre: the pool's lock is held; head's shape is RUN_FREE or about to be.
void arena_join(uint32_t head, uint32_t length, uint32_t dirty);

// The same for a piece that was free before: the time it became so, and the time it was last given
// back, are in its record.
void arena_rejoin(uint32_t head, uint32_t length, uint32_t dirty);

// Units that runs use, or that are dirty. pre: nothing changes meanwhile.
uint64_t arena_taken_units(void);

// In the child of a fork: rebuilds unit table and pool from the shapes of the runs.
void arena_after_fork(void);

// Checked builds: the runs tile the arena, the pool's numbers agree.
void arena_check(void);

#endif
