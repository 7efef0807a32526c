#include "forkwatch.h"

#include "os/os.h"
#include "root.h"

// Where no page can be had that the kernel wipes. Only fork() itself is noticed then.
static struct fork_page plain;

// The helper may be waiting for a lock that the thread holds where the signal came.
#define FORK_WAITS_MS 50u
// Somebody may leave fork by a longjmp out of a handler.
#define HELPER_WAITS 100u
#define HELPER_WAIT_MS 10u

static struct fork_page *shared_page(void) {
    return __atomic_load_n(&root.live.fork_page, __ATOMIC_ACQUIRE);
}

// One that was killed in the middle of it has no number.
static bool helper_looks(const struct fork_page *page) {
    return atomic_load(&page->looks) != 0 && atomic_load(&root.live.giving.tid) != 0;
}

static COLD void before(void) {
    struct fork_page *page = shared_page();
    (void)atomic_fetch_add(&page->forks, 1);
    for (unsigned i = 0; i < FORK_WAITS_MS && helper_looks(page); i++) {
        os_wait_while(&page->looks, 1, 1);
    }
}

static COLD void parent(void) {
    (void)atomic_fetch_sub(&shared_page()->forks, 1);
}

COLD void fork_helper_works(void) {
    struct fork_page *page = shared_page();
    atomic_store(&page->looks, 1);
    uint32_t forks = atomic_load(&page->forks);
    for (unsigned i = 0; i < HELPER_WAITS && forks != 0; i++) {
        fork_helper_rests();
        os_wait_while(&page->forks, forks, HELPER_WAIT_MS);
        atomic_store(&page->looks, 1);
        forks = atomic_load(&page->forks);
    }
}

COLD void fork_helper_rests(void) {
    struct fork_page *page = shared_page();
    atomic_store(&page->looks, 0);
    if (atomic_load(&page->forks) != 0) {
        os_wake(&page->looks);
    }
}

// Runs in the child of fork(), not of _Fork() or a bare clone. Only notes which heap lives on:
// most children call exec soon and never need more. Handlers that came before this one may have
// used the heap, which has been rebuilt then and must not be again: a helper may be at work.
static void child(void) {
    struct fork_page *page = root.live.fork_page;
    page->forker = heap_mine();
    if (page == &plain) {
        atomic_store(&page->known, 0);
        atomic_store(&page->forks, 0);
        atomic_store(&page->looks, 0);
    }
}

static struct fork_page *make_page(void) {
    size_t size = root.fixed.page_size;
    struct fork_page *page = os_map_fenced(size);
    if (page != NULL && !os_wipe_on_fork(page, size)) {
        (void)os_unmap_fenced(page, size);
        page = NULL;
    }
    page = page != NULL ? page : &plain;
    atomic_store(&page->known, 1);
    return page;
}

// Every thread passes here before its first slow path as one of several, so nobody is inside the
// allocator unwatched. A lock here would be one that a child inherits from a thread that is at this
// very place: of those that come at once, one has made the page. The handler comes last: it takes a
// lock of the C library and may allocate.
COLD void fork_watch(void) {
    struct fork_page *page = make_page();
    struct fork_page *none = NULL;
    if (__atomic_compare_exchange_n(&root.live.fork_page, &none, page, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        // Without them a child may have to leave some memory unused.
        (void)os_on_fork(before, parent, child);
    } else if (page != &plain) {
        (void)os_unmap_fenced(page, root.fixed.page_size);
    }
}
