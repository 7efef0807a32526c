#include "forkwatch.h"

#include "os/os.h"
#include "root.h"

// Where no page can be had that the kernel wipes. Only fork() itself is noticed then.
static struct fork_page plain;

// Runs in the child of fork(), not of _Fork() or a bare clone. Only notes which heap lives on:
// most children call exec soon and never need more. Handlers that came before this one may have
// used the heap, which has been rebuilt then and must not be again: a helper may be at work.
static void child(void) {
    struct fork_page *page = root.live.fork_page;
    page->forker = heap_mine();
    if (page == &plain) {
        atomic_store(&page->known, 0);
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
// allocator unwatched. The handler comes last: it takes a lock of the C library and may allocate.
COLD void fork_watch(void) {
    static _Atomic uint32_t lock;
    os_lock(&lock);
    bool mine = root.live.fork_page == NULL;
    if (mine) {
        __atomic_store_n(&root.live.fork_page, make_page(), __ATOMIC_RELEASE);
    }
    os_unlock(&lock);
    if (mine) {
        (void)os_on_fork(child); // without it a child may have to leave some memory unused
    }
}
