// Noticing a fork: the half of fork.h that needs nothing but the root.
#ifndef LUCID_FORKWATCH_H
#define LUCID_FORKWATCH_H

#include "root.h"

// From now on forks are noticed: the process has, or is about to have, a second thread. May call
// back into malloc.
void fork_watch(void);

// Is this the child of a fork that has rebuilt nothing yet? Then the helper's words are its
// parent's. False while nobody watches.
static inline bool fork_is_stale(void) {
    const struct fork_page *page = __atomic_load_n(&root.live.fork_page, __ATOMIC_ACQUIRE);
    return page != NULL && atomic_load(&page->known) == 0;
}

// Around everything that the helper does with the heap. A fork in a signal handler may come in the
// middle of a call of malloc or free which goes on in the child, and would wait there for a lock of
// the helper, who stayed behind: fork waits until the helper is done, and the helper for forks, but
// neither for long.
void fork_helper_works(void);
void fork_helper_rests(void);

#endif
