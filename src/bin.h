// Bins: a thread's small stock of free blocks, one array of pointers per class. malloc pops,
// free pushes; only when a bin is empty or full does a thread touch what others share.
//
// A bin's capacity starts small and doubles each time the bin proves too small, as far as binsize.h
// allows, so that rare classes stay cheap in memory and busy ones in time.
#ifndef LUCID_BIN_H
#define LUCID_BIN_H

#include "layout.h"

// Number of blocks in a bin.
static inline unsigned bin_count(const struct heap *heap, unsigned class) {
    return heap->slots[class] == NULL ? 0
                                      : (unsigned)(heap->bins[class].top - heap->slots[class] - 1);
}

// The same for a bin whose thread may be changing it at this moment, or was when it was cut off:
// 0 when top and array do not belong together. Reads what the owner writes without any order, on
// purpose: it pays for the fast paths' plain stores.
READS_RACILY static inline unsigned bin_count_now(const struct heap *heap, unsigned class) {
    uintptr_t first = (uintptr_t) * (void **const volatile *)&heap->slots[class] + sizeof(void *);
    uintptr_t top = (uintptr_t) * (void **const volatile *)&heap->bins[class].top;
    size_t count = (top - first) / sizeof(void *);
    return first != sizeof(void *) && count <= heap->capacity[class] ? (unsigned)count : 0;
}

// What is in one of these slots, or kept aside for it while the thread sleeps (idle.h). NULL: the
// helper has taken it.
READS_RACILY static inline void *bin_block_now(const struct heap *heap, unsigned class,
                                               unsigned slot) {
    void *block = *(void *const volatile *)&heap->slots[class][slot];
    if (likely(block != NULL) ||
        atomic_load_explicit(&heap->idle, memory_order_acquire) < IDLE_FENCED) {
        return block;
    }
    const struct fence *fence = &heap->fences[class];
    return __atomic_load_n(&fence->slot, __ATOMIC_ACQUIRE) == slot ? fence->block : NULL;
}

// Blocks of a bin; what is just being given back counts as gone.
READS_RACILY static inline unsigned bin_cached_now(const struct heap *heap, unsigned class) {
    unsigned count = bin_count_now(heap, class);
    unsigned leaving = heap->flush_class == class ? heap->flush_count : 0;
    unsigned cached = 0;
    if (atomic_load_explicit(&heap->idle, memory_order_relaxed) < IDLE_FENCED) {
        return count > leaving ? count - leaving : 0;
    }
    for (unsigned slot = 1 + leaving; slot <= count; slot++) {
        cached += bin_block_now(heap, class, slot) != NULL;
    }
    return cached;
}

// Fills an empty bin from the class's spans and takes one block out. NULL: no memory.
void *bin_refill(struct heap *heap, unsigned class);

// Makes room in a full bin: by making it larger or by giving its oldest half back. False: the
// bin cannot hold anything (no memory for its array); the caller gives the block back directly.
bool bin_make_room(struct heap *heap, unsigned class, const char *function);

// Gives all blocks of all bins back to their spans, which finds misuse that nothing has looked at.
void bin_check_all(struct heap *heap, const char *function);

// The same, and lets all held spans go.
void bin_empty_all(struct heap *heap, const char *function);

// In the child of a fork: marks the blocks in a dead thread's bins as free. Some of them may be
// marked already, because their thread was giving them back when it was cut off.
void bin_forget_all(struct heap *heap);

#endif
