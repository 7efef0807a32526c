// What a child of fork inherits from a process with several threads: locks that nobody will ever
// release, and lists that another thread was in the middle of changing. No lock is taken before
// the fork (that is how allocators deadlock with the C library's own locks); instead a page that
// the kernel wipes in the child tells the first slow path there to rebuild everything from the
// tables.
#ifndef LUCID_FORK_H
#define LUCID_FORK_H

#include "forkwatch.h"
#include "os/os.h"
#include "root.h"

void fork_rebuild(void);

// To be called on entry to every slow path, before any lock is taken.
static inline void fork_check(void) {
    struct fork_page *page = __atomic_load_n(&root.live.fork_page, __ATOMIC_ACQUIRE);
    if (page == NULL) {
        if (unlikely(!os_single_threaded())) {
            fork_watch();
        }
    } else if (unlikely(atomic_load_explicit(&page->known, memory_order_acquire) == 0)) {
        fork_rebuild();
    }
}

#endif
