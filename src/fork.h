// What a child of fork inherits from a process with several threads: locks that nobody will ever
// release, and lists that another thread was in the middle of changing. No lock is taken before
// the fork (that is how allocators deadlock with the C library's own locks); instead a page that
// the kernel wipes in the child tells the first slow path there to rebuild everything from the
// tables.
#ifndef LUCID_FORK_H
#define LUCID_FORK_H

#include "root.h"

// The process is about to have a second heap: from now on forks must be noticed. May call back
// into malloc.
void fork_watch(void);

void fork_rebuild(void);

// To be called on entry to every slow path.
static inline void fork_check(void) {
    _Atomic uint32_t *page = root.live.fork_page;
    if (unlikely(page != NULL && atomic_load_explicit(page, memory_order_relaxed) == 0)) {
        fork_rebuild();
    }
}

#endif
