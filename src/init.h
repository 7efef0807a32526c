// Start-up: everything the first allocation needs, done once, before any constructor may have
// run and on whichever thread comes first.
#ifndef LUCID_INIT_H
#define LUCID_INIT_H

#include "root.h"

// True once the heap can be used. False: there is no memory for the tables; may be tried again.
bool init_slow(void);

static inline bool init_ready(void) {
    return likely(atomic_load_explicit(&root.live.ready, memory_order_acquire) != 0) || init_slow();
}

#endif
