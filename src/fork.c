#include "fork.h"

#include "allowance.h"
#include "arena.h"
#include "fence.h"
#include "guard.h"
#include "harden.h"
#include "heap.h"
#include "helper.h"
#include "mapping.h"
#include "meta.h"
#include "purge.h"
#include "region.h"
#include "release.h"
#include "relief.h"
#include "span.h"
#include "tables.h"

// The order matters: first the runs and their units, then the dead threads' blocks become bits,
// then the bits become counts and lists.
COLD void fork_rebuild(void) {
    struct fork_page *page = root.live.fork_page;
    os_lock(&page->lock);
    if (atomic_load(&page->known) == 0) {
        helper_after_fork();
        tables_after_fork();
        meta_after_fork();
        mapping_after_fork();
        harden_after_fork();
        fence_after_fork();
        guard_after_fork();
        arena_after_fork();
        heap_after_fork(page->forker);
        span_after_fork();
        region_after_fork();
        allowance_after_fork(arena_taken_units());
        relief_after_fork();
        release_after_fork();
        // What is free here is this process's alone once its parent has given that back, so it
        // goes as if bins had grown by it.
        purge_note_growth(release_possible() << UNIT_SHIFT);
        atomic_store(&root.live.init_lock, 0);
        atomic_store(&page->known, 1);
    }
    os_unlock(&page->lock);
}
