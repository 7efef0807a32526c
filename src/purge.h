// When free memory is given back to the kernel; release.h and trim.h say how.
//
// Memory that a program frees it often takes again at once, and giving it back costs a system
// call and a page fault for each page then. So it goes only when it has been free for a while
// (option purge_age). Normally the helper (helper.h) sees to that, off the program's own time and
// even when the program never calls again. Where there can be no helper, the free that finds too
// much free memory gives back what exceeds a share of the memory in use, at most once in a while.
#ifndef LUCID_PURGE_H
#define LUCID_PURGE_H

#include "root.h"

// To be called after units went back to the pool, with no lock held: compares two numbers at most,
// most of the time. May call back into malloc.
void purge_after_free(void);

// After `bytes` of blocks went from this heap's bins to their spans; also looks at the pool.
void purge_after_flush(struct heap *heap, size_t bytes);

// A thread has given back what was in its bins because it was asked to (malloc_trim): what is free
// in the pool goes at once, pages inside spans when the helper comes by, or at once without one.
void purge_asked(void);

// The program has changed an option of giving back: what is free already follows it, too, even when
// nothing is freed any more. May call back into malloc.
void purge_reconsider(void);

// malloc_trim has asked all threads for what is in their bins; those that sleep do not hear it, so
// the helper takes it.
void purge_sleepers(void);

// Bins have grown by so many bytes: what is in them when their thread falls asleep is worth a visit
// of the helper (idle.h). Calls nobody.
static inline void purge_note_growth(size_t bytes) {
    (void)atomic_fetch_add_explicit(&root.live.giving.growth, bytes, memory_order_relaxed);
}

// So many bytes went through a bin. As much as the bins were emptied of,
// they may hold again by now.
static inline void purge_note_again(struct heap *heap, size_t bytes) {
    uint32_t again = (uint32_t)min_size(bytes, heap->unnoted);
    if (unlikely(again != 0)) {
        heap->unnoted -= again;
        purge_note_growth(again);
    }
}

// The rest of purge_after_growth, when bins have grown by that much since it last asked.
void purge_grown(uint64_t bytes);

// To be called where bins grow, with no lock held: asks for the helper when they have by enough.
// May call back into malloc.
static inline void purge_after_growth(void) {
    uint64_t grown = atomic_load_explicit(&root.live.giving.growth, memory_order_relaxed);
    if (unlikely(grown > HELPER_START_BYTES)) {
        purge_grown(grown);
    }
}

// Blocks were taken from spans again.
static inline void purge_note_refill(struct heap *heap, size_t bytes) {
    purge_note_again(heap, bytes);
    heap->given -= min_size(heap->given, bytes);
}

#endif
