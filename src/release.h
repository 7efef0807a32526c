// Giving the memory of free runs back to the kernel. The runs stay in the pool, clean; when and
// how much is policy (purge.h).
#ifndef LUCID_RELEASE_H
#define LUCID_RELEASE_H

#include "layout.h"

// Gives dirty memory of free runs back until at most `keep` dirty units remain, or until none of
// them has been free for `age` milliseconds. Returns the units given back.
uint64_t release_dirty(uint64_t keep, uint32_t age);

// To be called after pages of the arena were given back: the kernel is not to fill such holes again.
void release_keep_small(uintptr_t start, size_t length);

// The same for everything that no run uses, clean runs and the top included: huge pages may stand
// behind units that nobody has ever written to.
uint64_t release_all(void);

#endif
