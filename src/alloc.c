#include "alloc.h"

#include "bin.h"
#include "event.h"
#include "export.h"
#include "fence.h"
#include "fork.h"
#include "guard.h"
#include "harden.h"
#include "heap.h"
#include "init.h"
#include "large.h"
#include "region.h"
#include "relief.h"
#include "span.h"

#include <errno.h>
#include <lucid.h>
#include <string.h>

// The topmost block of a bin, or NULL.
static inline void *pop(struct bin *bin) {
    void *block = bin_pop(bin);
    if (unlikely(block == NULL)) {
        bin_unpop(bin);
    }
    return block;
}

// `asked`: bytes the program asked for, or GUARD_NEVER when the block needs more than BLOCK_ALIGN.
static void *small_new(unsigned class, size_t asked) {
    struct heap *heap = heap_get();
    void *block = NULL;
    if (unlikely(heap == NULL)) {
        block = span_take_one(class);
    } else {
        block = pop(&heap->bins[class]);
        if (block == NULL && guard_due(heap) && (block = guard_sample(heap, asked)) != NULL) {
            return block;
        }
        block = block != NULL ? block : bin_refill(heap, class);
    }
    if (likely(block != NULL)) {
        *block_mark(block) = 0;
    }
    return block;
}

// Above TINY_MAX, and for blocks that are aligned to more than BLOCK_ALIGN, the class takes some
// arithmetic, and the bin is as good. NULL: it is empty.
static inline void *pop_of_class(unsigned class) {
    void *block = pop(&heap_self->bins[class]);
    if (likely(block != NULL)) {
        *block_mark(block) = 0;
    }
    return block;
}

// The canary needs room of its own. Without mappings left, a large block goes without a fence: in
// the arena, because a mapping without one would be taken for one that has it.
static COLD void *hardened_new(size_t size, size_t alignment, bool zero) {
    unsigned class = 0;
    if (size <= SMALL_MAX - CANARY_BYTES) {
        class = alignment <= BLOCK_ALIGN ? sizeclass_of(size + CANARY_BYTES)
                                         : sizeclass_aligned(size + CANARY_BYTES, alignment);
    }
    void *block = class != 0 ? harden_new(heap_get(), class, size)
                             : fence_new(size == 0 ? 1 : size, alignment);
    if (block == NULL && class == 0) {
        block = large_new_last(size == 0 ? 1 : size, alignment, zero, NULL);
    }
    if (block != NULL) {
        event_raise(EVENT_ALLOC, block, size, class, 1);
    }
    return block;
}

// Every way to a block but the fast ones ends here. pre: init_ready(), size is no more than
// PTRDIFF_MAX unless the alignment is BLOCK_ALIGN.
static inline void *any_new(size_t size, size_t alignment, bool zero) {
    fork_check();
    if (harden_on()) {
        return hardened_new(size, alignment, zero);
    }
    bool aligned = alignment > BLOCK_ALIGN;
    size_t least = size == 0 ? 1 : size;
    unsigned class = 0;
    if (size <= SMALL_MAX) {
        class = aligned ? sizeclass_aligned(size, alignment) : sizeclass_of(least);
    }
    void *block = class != 0 ? small_new(class, aligned ? GUARD_NEVER : least)
                             : large_new(least, alignment, zero, NULL);
    if (likely(block != NULL)) {
        event_raise(EVENT_ALLOC, block, size, class, 1);
    }
    return block;
}

COLD bool alloc_again(struct relief *relief, size_t size, size_t alignment) {
    bool again = relief_again(relief, size, alignment);
    if (relief->attempts + relief->waits > 0) { // the child of a fork in the callback, perhaps
        fork_check();
    }
    if (again) {
        relief_give_back();
    }
    return again;
}

// As long as there is hope. NULL and ENOMEM: no memory.
static COLD void *new_again(size_t size, size_t alignment, bool zero) {
    void *block = NULL;
    for (struct relief relief = {0}; block == NULL && alloc_again(&relief, size, alignment);) {
        block = any_new(size, alignment, zero);
    }
    if (block == NULL) {
        errno = ENOMEM;
    }
    return block;
}

static NOINLINE void *alloc_cold(size_t size) {
    void *block = init_ready() ? any_new(size, BLOCK_ALIGN, false) : NULL;
    return likely(block != NULL) ? block : new_again(size, BLOCK_ALIGN, false);
}

NOINLINE void *alloc_empty(size_t size, struct bin *bin) {
    bin_unpop(bin);
    return alloc_cold(size);
}

NOINLINE void *alloc_slow(size_t size) {
    if (size > TINY_MAX && size <= SMALL_MAX) {
        void *block = pop_of_class(sizeclass_of(size));
        if (likely(block != NULL)) {
            return block;
        }
    }
    return alloc_cold(size);
}

void *alloc_zeroed(size_t size) {
    if (size <= SMALL_MAX) {
        void *block = alloc_fast(size);
        return block != NULL ? memset(block, 0, size) : NULL;
    }
    void *block = init_ready() ? any_new(size, BLOCK_ALIGN, true) : NULL;
    return likely(block != NULL) ? block : new_again(size, BLOCK_ALIGN, true);
}

static NOINLINE void *aligned_cold(size_t alignment, size_t size) {
    void *block = NULL;
    if (size <= PTRDIFF_MAX && alignment <= PTRDIFF_MAX && init_ready()) {
        block = any_new(size, alignment, false);
    }
    return likely(block != NULL) ? block : new_again(size, alignment, false);
}

void *alloc_aligned(size_t alignment, size_t size) {
    if (alignment <= BLOCK_ALIGN) {
        return alloc_fast(size);
    }
    unsigned class = size <= SMALL_MAX ? sizeclass_aligned(size, alignment) : 0;
    void *block = class != 0 ? pop_of_class(class) : NULL;
    return likely(block != NULL) ? block : aligned_cold(alignment, size);
}

static void *any_of(struct lucid_region *region, unsigned class, size_t size, size_t alignment,
                    bool zero) {
    return class != 0 ? region_take(region, class)
                      : region_take_large(region, size, alignment, zero);
}

void *alloc_in(struct lucid_region *region, size_t alignment, size_t size, bool zero) {
    size_t least = size == 0 ? 1 : size;
    unsigned class = 0;
    fork_check();
    if (size <= SMALL_MAX) {
        class = alignment > BLOCK_ALIGN ? sizeclass_aligned(size, alignment) : sizeclass_of(least);
    }
    void *block = any_of(region, class, least, alignment, zero);
    struct relief relief = {0};
    while (unlikely(block == NULL) && alloc_again(&relief, size, alignment)) {
        block = any_of(region, class, least, alignment, zero);
    }
    if (unlikely(block == NULL)) {
        errno = ENOMEM;
        return NULL;
    }
    if (class != 0) {
        *block_mark(block) = 0;
        (void)(zero ? memset(block, 0, size) : NULL);
    }
    event_raise(EVENT_ALLOC, block, size, class, 1);
    return block;
}

static void *announced(void *large, size_t size) {
    if (large != NULL) {
        event_raise(EVENT_ALLOC, large, size, 0, 1);
    }
    return large;
}

void *alloc_mapping(size_t size) {
    return announced(large_new_mapping(size, BLOCK_ALIGN, false, NULL), size);
}

void *alloc_growing(size_t size) {
    return announced(large_new_growing(size), size);
}

EXPORT ON_A_LINE void *lucid_malloc(size_t size) {
    return alloc_fast(size);
}
STANDARD_NAME(void *, malloc, (size_t), lucid_malloc)
GLIBC_NAME(void *, malloc, (size_t), lucid_malloc)

EXPORT void *lucid_calloc(size_t count, size_t size) {
    size_t bytes;
    if (unlikely(__builtin_mul_overflow(count, size, &bytes))) {
        errno = ENOMEM;
        return NULL;
    }
    return alloc_zeroed(bytes);
}
STANDARD_NAME(void *, calloc, (size_t, size_t), lucid_calloc)
GLIBC_NAME(void *, calloc, (size_t, size_t), lucid_calloc)
