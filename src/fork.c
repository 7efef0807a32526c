#include "fork.h"

#include "arena.h"
#include "heap.h"
#include "mapping.h"
#include "meta.h"
#include "os/os.h"
#include "span.h"

static void child(void) {
    atomic_store(root.live.fork_page, 0);
}

void fork_watch(void) {
    static _Atomic uint32_t begun;
    if (atomic_exchange(&begun, 1) != 0) {
        return;
    }
    size_t size = root.fixed.page_size;
    _Atomic uint32_t *page = os_map(size);
    bool wiped = page != NULL && os_wipe_on_fork((void *)page, size);
    if (!wiped) {
        // No such page on this system: a handler does it for fork(), if not for a bare clone.
        static _Atomic uint32_t word;
        page = &word;
    }
    atomic_store(page, 1);
    root.live.fork_page = page;
    if (!wiped && !os_on_fork(child)) {
        atomic_store(&begun, 0); // no memory; the next thread tries again
    }
}

// The order matters: first the runs and their units, then the dead threads' blocks become bits,
// then the bits become counts and lists.
COLD void fork_rebuild(void) {
    meta_after_fork();
    mapping_after_fork();
    arena_after_fork();
    heap_after_fork();
    span_after_fork();
    atomic_store(&root.live.init_lock, 0);
    atomic_store(root.live.fork_page, 1);
}
