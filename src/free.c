#include "free.h"

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
#include "panic.h"
#include "region.h"
#include "span.h"

#include <lucid.h>

static void small_free(void *pointer, unsigned class, const char *function) {
    struct heap *heap = heap_for_free();
    *block_mark(pointer) = free_mark(root.fixed.units);
    if (heap != NULL &&
        (heap->bins[class].top < heap->bins[class].end || bin_make_room(heap, class, function))) {
        bin_push(&heap->bins[class], heap->bins[class].top, pointer);
    } else {
        (void)span_give_all(class, &pointer, 1, function);
    }
}

static COLD void hardened_free(void *pointer, const struct block *block, const char *function) {
    if (block->kind == BLOCK_SMALL) {
        harden_free(pointer, block->class, block->size, function);
    } else if (block->kind == BLOCK_MAPPING) {
        fence_free(pointer, function);
    } else {
        large_free(pointer, block, function); // made when there was no mapping left for a fence
    }
}

// The block of a pointer that is to be freed. Does not return unless it is a live one.
static struct block block_to_free(const void *pointer, const char *function) {
    if (!init_ready()) {
        panic_misuse(function, "pointer that lucid never gave out", pointer);
    }
    fork_check();
    return block_of(pointer, function);
}

NOINLINE void free_slow(void *pointer, const char *function) {
    if (pointer == NULL) {
        return;
    }
    struct block block = block_to_free(pointer, function);
    event_raise(EVENT_FREE, pointer, block.size, block.class, 1);
    if (unlikely(block.region != NULL)) {
        region_free(pointer, &block, function);
    } else if (harden_on()) {
        hardened_free(pointer, &block, function);
    } else if (block.kind == BLOCK_SMALL) {
        small_free(pointer, block.class, function);
    } else if (block.kind == BLOCK_GUARDED) {
        guard_free(pointer, function);
    } else {
        large_free(pointer, &block, function);
    }
}

EXPORT ON_A_LINE void lucid_free(void *pointer) {
    free_fast(pointer, "free");
}
STANDARD_NAME(void, free, (void *), lucid_free)
GLIBC_NAME(void, free, (void *), lucid_free)
STANDARD_NAME(void, cfree, (void *), lucid_free)

// Once a realloc found no memory for a smaller copy, a block of any size may be a small one's.
static _Atomic bool large_left;

COLD void free_note_large_left(void) {
    atomic_store_explicit(&large_left, true, memory_order_relaxed);
}

// realloc may leave a block up to twice as large as asked for. Hardened mode knows what was asked
// for, but of a fenced block that could not move.
static bool is_too_small(const struct block *block, size_t size) {
    bool exact = harden_on() && block->kind != BLOCK_LARGE && block->region == NULL;
    if (exact ? size == block->size : size >= block->size / 2 || block->size <= 64) {
        return false;
    }
    return (exact && block->kind == BLOCK_SMALL) ||
           !atomic_load_explicit(&large_left, memory_order_relaxed);
}

static void check_size(const struct block *block, const void *pointer, size_t size,
                       const char *function) {
    if (size > block->size || is_too_small(block, size)) {
        block_panic(function, "wrong size given with", pointer);
    }
}

NOINLINE void free_sized_slow(void *pointer, size_t size, const char *function) {
    if (pointer == NULL) {
        return;
    }
    struct block block = block_to_free(pointer, function);
    if (!harden_on() && block.kind == BLOCK_SMALL) {
        if (size > SMALL_MAX || block.class != sizeclass_of(size == 0 ? 1 : size)) {
            block_panic(function, "wrong size given with", pointer);
        }
        free_fast(pointer, function);
        return;
    }
    check_size(&block, pointer, size, function);
    free_slow(pointer, function);
}

EXPORT void lucid_free_sized(void *pointer, size_t size) {
    if (pointer != NULL) {
        struct block block = block_to_free(pointer, "free_sized");
        check_size(&block, pointer, size, "free_sized");
    }
    free_fast(pointer, "free_sized");
}
STANDARD_NAME(void, free_sized, (void *, size_t), lucid_free_sized)

// An aligned block may lie in a larger class than its size alone asks for.
void free_aligned(void *pointer, size_t alignment, size_t size, const char *function) {
    if (pointer == NULL) {
        return; // whatever else is said
    }
    if (!is_power_of_two(alignment) || !is_aligned((uintptr_t)pointer, alignment)) {
        if (init_ready()) {
            fork_check(); // the report looks at what another thread may have held at the fork
        }
        block_panic(function, "wrong alignment given with", pointer);
    }
    if (size > block_to_free(pointer, function).size) {
        block_panic(function, "wrong size given with", pointer);
    }
    free_fast(pointer, function);
}

EXPORT void lucid_free_aligned_sized(void *pointer, size_t alignment, size_t size) {
    free_aligned(pointer, alignment, size, "free_aligned_sized");
}
STANDARD_NAME(void, free_aligned_sized, (void *, size_t, size_t), lucid_free_aligned_sized)
