// Loose runs: what spans and large blocks have left behind, kept aside for the next ones of the
// same length. A program that frees and allocates by turns makes and ends many of them, mostly in
// the thread that had their memory last: two steps on a stack of its lane's own are cheaper than
// two searches in the pool, whose lock is everybody's, and the memory is still in that core's
// cache.
//
// A loose run is dirty throughout and joined with nobody, so it is no use for larger blocks and
// nobody gives its memory back: the arena makes free ones of them before it takes memory that is
// clean (arena.c). Whoever gives memory back (release.c) does so with those that nobody wanted for
// a while: in place of one that comes and goes, its next block would fill other memory.
//
// Invariant: of each lane, `units` == sum of the lengths of the runs on its stacks and of its long
// one, and a run is one of these exactly when its kind is RUN_LOOSE and no thread is
// in the middle of a move.
#ifndef LUCID_LOOSE_H
#define LUCID_LOOSE_H

#include "layout.h"

// Keeps a run that nobody uses and that has been written to throughout. Its length is at most
// LOOSE_UNITS_MAX.
void loose_give(unsigned lane, uint32_t head);

// Takes the run of `units` units that was given last; it is RUN_BUSY now. 0: there is none, or it
// does not begin at a multiple of `alignment` (a power of two).
uint32_t loose_take(unsigned lane, uint32_t units, size_t alignment);

// The same from the other lanes, which give a few more to this lane at the same time.
uint32_t loose_take_from_others(unsigned lane, uint32_t units);

// Of longer runs a lane keeps the one that was given last. Keeps `head` (0: none) as loose_give
// does, and returns the one before, which is RUN_BUSY now; 0: there was none.
uint32_t loose_swap_long(unsigned lane, uint32_t head);

// Takes all runs of one length, or, of LOOSE_LONG units, the longer one. Returns the first, the
// others follow by `next`; their kind stays RUN_LOOSE, until the caller changes it.
#define LOOSE_LONG 0u
uint32_t loose_take_all(unsigned lane, uint32_t units);

// The same for those that were given before root.live.drains was what it is now. pre: the pool's
// lock is held.
uint32_t loose_take_old(unsigned lane, uint32_t units);

// Units of one lane's long run, of its others, and of all lanes' runs, about: others may change it
// meanwhile.
uint32_t loose_units_long(unsigned lane);
uint32_t loose_units_of(unsigned lane);
uint64_t loose_units(void);

// In the child of a fork: forgets all of them; the caller makes free runs of them.
void loose_reset(void);

#endif
