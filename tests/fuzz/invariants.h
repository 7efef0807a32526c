// The full walk over the allocator's tables while no thread is inside it: everything that
// layout.h and spanstate.h promise about runs, spans, lists, bins and the pool, and the sums
// against the shadow.
#ifndef FUZZ_INVARIANTS_H
#define FUZZ_INVARIANTS_H

// Fails with one line when a promise is broken.
void invariants_check(void);

#endif
