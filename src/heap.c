#include "heap.h"

#include "bin.h"
#include "meta.h"
#include "os/os.h"
#include "root.h"

#include <string.h>

// Exit hooks of other keys may still free blocks after ours has run, so ours asks to be called
// once more and gives the heap back in the next round only.
#define EXIT_ROUNDS 2

static _Thread_local uint32_t exit_rounds __attribute__((tls_model("initial-exec")));

static void heap_retire(struct heap *heap) {
    heap_self = heap_of_nobody();
    struct fork_page *page = root.live.fork_page;
    if (page != NULL && atomic_load(&page->known) == 0) {
        // The child of a fork ends its only thread before anything was rebuilt: whoever rebuilds
        // will find this heap among those without a thread.
        page->forker = heap_of_nobody();
        return;
    }
    bin_empty_all(heap, "thread exit");
    os_lock(&root.live.heap_lock);
    heap->state = HEAP_FREE;
    heap->next_free = root.live.heaps_free;
    root.live.heaps_free = heap;
    root.live.threads--;
    os_unlock(&root.live.heap_lock);
}

static void exit_hook(void *argument) {
    exit_rounds++;
    if (exit_rounds < EXIT_ROUNDS && os_on_thread_exit(exit_hook, argument)) {
        return;
    }
    exit_rounds = EXIT_ROUNDS;
    heap_retire(argument);
}

static void heap_prepare(struct heap *heap) {
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        heap->bins[class] = root.live.nobody[0];
    }
}

// A record for a new thread: a retired one, else a new one on the registry.
static struct heap *record_take(void) {
    os_lock(&root.live.heap_lock);
    struct heap *heap = root.live.heaps_free;
    if (heap != NULL) {
        root.live.heaps_free = heap->next_free;
    }
    os_unlock(&root.live.heap_lock);
    bool fresh = heap == NULL;
    if (fresh) {
        heap = meta_take_for_good(sizeof(struct heap));
        if (heap == NULL) {
            return NULL;
        }
        heap_prepare(heap);
    }
    os_lock(&root.live.heap_lock);
    heap->state = HEAP_LIVE;
    heap->next_free = NULL;
    if (fresh) {
        heap->next = root.live.heaps;
        root.live.heaps = heap;
        root.live.heap_count++;
    }
    root.live.threads++;
    os_unlock(&root.live.heap_lock);
    return heap;
}

struct heap *heap_get(void) {
    if (likely(heap_self != heap_of_nobody())) {
        return heap_self;
    }
    if (exit_rounds >= EXIT_ROUNDS) {
        return NULL;
    }
    struct heap *heap = record_take();
    if (heap == NULL) {
        return NULL;
    }
    heap->thread = os_thread_self();
    heap->tid = 0;    // the main thread, until proven otherwise
    heap_self = heap; // before the hook: setting it up may call malloc
    if (!os_single_threaded()) {
        heap->tid = os_thread_id();
        if (!os_on_thread_exit(exit_hook, heap)) {
            // Nobody would give this heap back: the thread does without.
            exit_rounds = EXIT_ROUNDS;
            heap_retire(heap);
            return NULL;
        }
    }
    return heap;
}

// The thread that comes here first may be one that the child made, while the one that forked has
// not left its fast paths yet; if that one is not known, every heap is treated as if it were its.
void heap_after_fork(struct heap *forker) {
    if (forker == NULL && heap_self != heap_of_nobody()) {
        forker = heap_self;
    }
    atomic_store(&root.live.heap_lock, 0);
    root.live.heaps_free = NULL;
    root.live.threads = 0;
    for (struct heap *heap = root.live.heaps; heap != NULL; heap = heap->next) {
        memset(heap->held, 0, sizeof(heap->held));
        if (heap->state == HEAP_LIVE && (heap == forker || forker == NULL)) {
            root.live.threads++;
            continue;
        }
        bin_forget_all(heap);
        heap->state = HEAP_FREE;
        heap->next_free = root.live.heaps_free;
        root.live.heaps_free = heap;
    }
}
