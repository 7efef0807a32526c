// Giving the memory of free runs back to the kernel. The runs stay in the pool, clean; when and
// how much is policy (purge.h).
#ifndef LUCID_RELEASE_H
#define LUCID_RELEASE_H

#include "layout.h"

// Dirty units that no run uses, loose ones included, about: others may change it meanwhile.
uint64_t release_possible(void);

// Gives dirty memory of free runs back until at most `keep` dirty units remain, or until none of
// them has been free for `age` milliseconds; long runs go whole. Returns the units given back.
uint64_t release_dirty(uint64_t keep, uint32_t age);

// The same whatever its age, and `keep` dirty units remain where there were more.
uint64_t release_beyond(uint64_t keep);

// Around what takes free memory out of reach while the kernel works on it.
void release_begins(void);
void release_ends(void);

// Has any of that come back since `*ended`, which is renewed? What is out of reach now is waited
// for, for a moment at most: it does not make memory less.
bool release_came_back(uint32_t *ended);

// In the child of a fork: what others had is back.
void release_after_fork(void);

// To be called when units were taken for a large block: as long as more than ever is in use or
// dirty, dirty memory goes back, so that what is resident at the peak is what is in use then,
// and little else.
void release_for_growth(void);

// To be called when units or a mapping were taken for a block as large as those that are recycled
// (large.c), and are clean: all dirty memory goes back but for a share,
// whatever was given back before.
void release_for_recycled(void);

// As release_dirty, for everything that no run uses, clean runs and the top included: huge pages
// may stand behind units that nobody has ever written to.
uint64_t release_all(void);

#endif
