#include "heap.h"

#include "bin.h"
#include "helper.h"
#include "idle.h"
#include "lane.h"
#include "meta.h"
#include "os/os.h"
#include "root.h"

#include <string.h>

// Exit hooks of other keys may still free blocks after ours has run, so ours asks to be called
// once more and gives the heap back in the next round only.
#define EXIT_ROUNDS 2
#define ORPHANS_TRIED 4u

static _Thread_local uint32_t exit_rounds __attribute__((tls_model("initial-exec")));

// A thread that begins with a free gives the block back at once. It often is what another thread
// left to it, and its neighbours were left to others: used again from the bin, all of them would
// write to the same cache lines from then on.
static _Thread_local bool freed_before __attribute__((tls_model("initial-exec")));

// Looked at without the lock, too (bin.c). pre: the registry is locked.
static void count_thread(int32_t change) {
    __atomic_store_n(&root.live.threads, root.live.threads + (uint32_t)change, __ATOMIC_RELAXED);
}

// The record waits for the next thread.
static void record_give(struct heap *heap) {
    os_lock(&root.live.heap_lock);
    heap->state = HEAP_FREE;
    heap->next_free = root.live.heaps_free;
    root.live.heaps_free = heap;
    count_thread(-1);
    os_unlock(&root.live.heap_lock);
}

static void heap_retire(struct heap *heap) {
    heap_self = heap_of_nobody();
    heap_hidden = NULL;
    struct fork_page *page = root.live.fork_page;
    if (page != NULL && atomic_load(&page->known) == 0) {
        // The child of a fork ends its only thread before anything was rebuilt: whoever rebuilds
        // will find this heap among those without a thread.
        page->forker = heap_of_nobody();
        return;
    }
    bin_empty_all(heap, "thread exit");
    record_give(heap);
}

static void exit_hook(void *argument) {
    exit_rounds++;
    if (exit_rounds < EXIT_ROUNDS && os_on_thread_exit(exit_hook, argument)) {
        return;
    }
    exit_rounds = EXIT_ROUNDS;
    heap_retire(argument);
}

static void bins_prepare(struct bin *bins) {
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        bins[class] = bin_of_nobody();
    }
}

// What a thread whose calls are all watched has for a heap: bins like those of nobody, but its own,
// as malloc writes to them. pre: it has `heap`.
static struct heap *heap_to_show(struct heap *heap) {
    if (heap->shut == NULL) {
        heap->shut = meta_take_for_good(CLASS_COUNT * sizeof(*heap->shut));
    }
    if (heap->shut == NULL) {
        return heap_of_nobody();
    }
    bins_prepare(heap->shut);
    return (struct heap *)heap->shut;
}

// Has the thread ended without its hook? It allocated for the first time in the last round of its
// destructors then. pre: the registry is locked.
static bool is_orphan(const struct heap *heap, uint32_t own_tid) {
    bool owned = heap->state == HEAP_LIVE && heap->tid != 0;
    return owned && (heap->tid == own_tid || !os_thread_alive(heap->tid));
}

// A heap whose thread ended without its hook. Looks at a few heaps only, at others each time, so
// that a crowd of threads does not look at each other. pre: the registry is locked.
static struct heap *find_orphan(uint32_t own_tid) {
    static struct heap *next;
    struct heap *heap = next;
    for (unsigned i = 0; i < ORPHANS_TRIED && root.live.heaps != NULL; i++) {
        heap = heap != NULL ? heap : root.live.heaps;
        next = heap->next;
        if (is_orphan(heap, own_tid)) {
            return heap;
        }
        heap = next;
    }
    return NULL;
}

// A record of its own for a thread without one: a retired one, one whose thread is gone (with all
// that is in its bins), else a new one on the registry. tid 0: the process's only thread. Whoever
// has restricted itself may be ended for asking who lives.
static struct heap *record_take(uint32_t tid) {
    os_lock(&root.live.heap_lock);
    struct heap *heap = root.live.heaps_free;
    if (heap != NULL) {
        root.live.heaps_free = heap->next_free;
        heap->next_free = NULL;
        heap->state = HEAP_LIVE;
        count_thread(1);
    } else if (tid != 0 && !helper_is_restricted()) {
        heap = find_orphan(tid);
    }
    if (heap != NULL) {
        heap->tid = tid; // under the lock: nobody may take the one who had it before for its owner
    }
    os_unlock(&root.live.heap_lock);
    return heap;
}

static struct heap *record_make(uint32_t tid) {
    struct heap *heap = meta_take_for_good(sizeof(struct heap));
    if (heap == NULL) {
        return NULL;
    }
    bins_prepare(heap->bins);
    heap->state = HEAP_LIVE;
    heap->tid = tid;
    os_lock(&root.live.heap_lock);
    heap->next = root.live.heaps;
    heap->lane = root.live.heap_count % LANES;
    lane_begin(heap->lane);
    // The count first: readers take it for the most there can be.
    __atomic_store_n(&root.live.heap_count, root.live.heap_count + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&root.live.heaps, heap, __ATOMIC_RELEASE);
    count_thread(1);
    os_unlock(&root.live.heap_lock);
    return heap;
}

void heap_verify(void) {
    if (heap_mine() != heap_of_nobody()) {
        bin_check_all(heap_mine(), "exit");
    }
}

// Takes the next heap behind `after` (NULL: the first) that is not ours and in use: asks its
// thread, or makes it ours if its thread is gone. Returns it; NULL: there is none.
// tid 0: nobody can be told to be gone.
static COLD struct heap *ask_next(struct heap *mine, struct heap *after, uint32_t tid,
                                  bool *orphan) {
    os_lock(&root.live.heap_lock);
    struct heap *heap = after != NULL ? after->next : root.live.heaps;
    while (heap != NULL && (heap == mine || heap->state != HEAP_LIVE)) {
        heap = heap->next;
    }
    *orphan = heap != NULL && tid != 0 && is_orphan(heap, tid);
    if (*orphan) {
        heap->tid = tid; // nobody else takes it for an orphan
    } else if (heap != NULL) {
        idle_ask(heap);
    }
    os_unlock(&root.live.heap_lock);
    return heap;
}

COLD void heap_ask_others(struct heap *mine) {
    // The child of vfork cannot tell which of its parent's threads live.
    uint32_t tid = helper_is_restricted() || os_is_guest() ? 0 : os_thread_id_noted();
    bool orphan = false;
    for (struct heap *heap = ask_next(mine, NULL, tid, &orphan); heap != NULL;
         heap = ask_next(mine, heap, tid, &orphan)) {
        if (orphan) {
            bin_empty_all(heap, "malloc_trim");
            record_give(heap);
        }
    }
}

void heap_prepare_hook(void) {
    (void)os_thread_exit_ready(exit_hook); // if it fails now, it is tried again when needed
}

struct heap *heap_get(void) {
    struct heap *heap = heap_mine();
    if (likely(heap != heap_of_nobody())) {
        return heap;
    }
    if (exit_rounds >= EXIT_ROUNDS) {
        return NULL;
    }
    uint32_t tid = os_single_threaded() ? 0 : os_thread_id_noted();
    if (tid != 0 && helper_is_guest()) {
        return NULL; // the heap would be its parent's thread's, under a number that ends with it
    }
    heap = record_take(tid);
    if (heap == NULL) {
        heap = record_make(tid);
    }
    if (heap == NULL) {
        return NULL;
    }
    heap->thread = os_thread_self();
    heap->young_until = heap->events + YOUNG_EVENTS;
    if (root.live.watch & WATCH_CALLS) {
        heap_hidden = heap;
        heap_self = heap_to_show(heap);
    } else {
        heap_self = heap; // before the hook: setting it up may call malloc
    }
    // The process's only thread ends with the process.
    if (tid != 0 && !os_on_thread_exit(exit_hook, heap)) {
        // Nobody would give this heap back: the thread does without.
        exit_rounds = EXIT_ROUNDS;
        heap_retire(heap);
        return NULL;
    }
    return heap;
}

struct heap *heap_for_free(void) {
    if (heap_mine() == heap_of_nobody() && !freed_before && !os_single_threaded()) {
        freed_before = true;
        return NULL;
    }
    return heap_get();
}

// The thread that comes here first may be one that the child made, while the one that forked has
// not left its fast paths yet; if that one is not known, every heap is treated as if it were its.
void heap_after_fork(struct heap *forker) {
    if (forker == NULL && heap_mine() != heap_of_nobody()) {
        forker = heap_mine();
    }
    atomic_store(&root.live.heap_lock, 0);
    bins_prepare(root.live.nobody); // threads that are gone may have been in their first malloc
    root.live.heaps_free = NULL;
    root.live.threads = 0;
    root.live.heap_count = 0;
    for (struct heap *heap = root.live.heaps; heap != NULL; heap = heap->next) {
        root.live.heap_count++;
        idle_after_fork(heap);
        memset(heap->held, 0, sizeof(heap->held));
        if (heap->state == HEAP_LIVE && (heap == forker || forker == NULL)) {
            heap->tid = 0; // it is the main thread now, and its number was another
            count_thread(1);
            continue;
        }
        atomic_store(&heap->busy, 0);
        bin_forget_all(heap);
        heap->state = HEAP_FREE;
        heap->next_free = root.live.heaps_free;
        root.live.heaps_free = heap;
    }
}
