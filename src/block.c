#include "block.h"

#include "bin.h"
#include "fence.h"
#include "guard.h"
#include "harden.h"
#include "mapping.h"
#include "panic.h"
#include "span.h"

#include <string.h>

// Another thread's bin may change while we look; a block that is in it to stay is found.
READS_RACILY static bool bin_holds(const struct heap *heap, unsigned class, const void *pointer) {
    void **slots = heap->slots[class];
    for (unsigned i = bin_count_now(heap, class); i > 0; i--) {
        if (slots[i] == pointer) {
            return true;
        }
    }
    return false;
}

static bool is_cached(unsigned class, const void *pointer) {
    for (const struct heap *heap = root.live.heaps; heap != NULL; heap = heap->next) {
        if (bin_holds(heap, class, pointer)) {
            return true;
        }
    }
    return false;
}

// realloc and malloc_usable_size look at a block; all others end it.
static COLD _Noreturn void panic_free_already(const void *pointer, const char *function) {
    bool looks =
        function[0] == 'r' || function[0] == 'm' || strcmp(function, "lucid_heap_realloc") == 0;
    panic_misuse(function, looks ? "use of the free block" : "double free of", pointer);
}

static struct block small_block(uint32_t head, const void *pointer, const char *function) {
    struct run *span = run_at(head);
    unsigned class = span->class;
    size_t offset = (uintptr_t)pointer - unit_address(head);
    unsigned index = sizeclass_index(class, offset);
    if (index * sizeclass_size(class) != offset) {
        panic_misuse(function, "pointer into the middle of a block", pointer);
    }
    if (index >= atomic_load_explicit(&span->carved, memory_order_relaxed)) {
        panic_misuse(function, "pointer to a block never handed out", pointer);
    }
    if (harden_on() && span->region == NULL) {
        size_t size = harden_size(pointer, class, function);
        return (struct block){.kind = BLOCK_SMALL, .head = head, .class = class, .size = size};
    }
    if (span_is_free(span, index)) {
        panic_free_already(pointer, function);
    }
    if (*block_mark((void *)pointer) == free_mark(root.fixed.units) && is_cached(class, pointer)) {
        panic_free_already(pointer, function);
    }
    return (struct block){.kind = BLOCK_SMALL,
                          .head = head,
                          .class = class,
                          .size = sizeclass_size(class),
                          .region = span->region};
}

static struct block large_block(uint32_t head, const void *pointer, const char *function) {
    if ((uintptr_t)pointer != unit_address(head)) {
        panic_misuse(function, "pointer into the middle of a block", pointer);
    }
    return (struct block){.kind = BLOCK_LARGE,
                          .head = head,
                          .size = align_up(run_at(head)->size, root.fixed.page_size),
                          .region = run_at(head)->region};
}

// False: no run of ours. Mappings may lie in the arena's range, too, where it went on behind them.
static bool arena_block(const void *pointer, const char *function, struct block *block) {
    if (!in_arena((uintptr_t)pointer)) {
        return false;
    }
    uint32_t unit = unit_of((uintptr_t)pointer);
    uint32_t head = unit;
    enum run_kind kind = run_kind_of(run_load(head));
    if (kind == RUN_NONE) {
        head = unit - root.fixed.units[unit].back;
        kind = run_kind_of(run_load(head));
    }
    if (kind == RUN_SPAN) {
        *block = small_block(head, pointer, function);
        return true;
    }
    if (kind == RUN_LARGE && unit - head < run_length_of(run_load(head))) {
        *block = large_block(head, pointer, function);
        return true;
    }
    return false;
}

struct block block_of(const void *pointer, const char *function) {
    if ((uintptr_t)pointer % BLOCK_ALIGN != 0) {
        panic_misuse(function, "unaligned pointer", pointer);
    }
    struct block block;
    if (arena_block(pointer, function, &block)) {
        return block;
    }
    if (guard_holds(pointer)) {
        return (struct block){.kind = BLOCK_GUARDED, .size = guard_size(pointer, function)};
    }
    struct mapping mapping;
    if (mapping_find(pointer, &mapping)) {
        bool fenced = harden_on() && mapping.region == NULL;
        return (struct block){.kind = BLOCK_MAPPING,
                              .size = fenced ? mapping.asked : mapping.size,
                              .region = mapping.region};
    }
    if (harden_on() && fence_was(pointer)) {
        panic_misuse(function, "double free of", pointer);
    }
    panic_misuse(function,
                 in_arena((uintptr_t)pointer) ? "pointer to memory that is not in use"
                                              : "pointer that lucid never gave out",
                 pointer);
}
