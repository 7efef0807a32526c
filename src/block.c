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
    for (unsigned slot = bin_count_now(heap, class); slot > 0; slot--) {
        if (bin_block_now(heap, class, slot) == pointer) {
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

// What follows fills in a block field by field, at the place where the caller reads it: copied
// from one made elsewhere it would be read before its narrow parts have reached the cache.
static void small_block(uint32_t head, const void *pointer, const char *function,
                        struct block *block) {
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
    block->kind = BLOCK_SMALL;
    block->head = head;
    block->class = class;
    block->region = span->region;
    if (harden_on() && span->region == NULL) {
        block->size = harden_size(pointer, class, function);
        return;
    }
    block->size = sizeclass_size(class);
    if (span_is_free(span, index)) {
        panic_free_already(pointer, function);
    }
    if (*block_mark((void *)pointer) == free_mark(root.fixed.units) && is_cached(class, pointer)) {
        panic_free_already(pointer, function);
    }
}

static void large_block(uint32_t head, const void *pointer, const char *function,
                        struct block *block) {
    if ((uintptr_t)pointer != unit_address(head)) {
        panic_misuse(function, "pointer into the middle of a block", pointer);
    }
    block->kind = BLOCK_LARGE;
    block->head = head;
    block->class = 0;
    block->size = align_up(run_at(head)->size, root.fixed.page_size);
    block->region = run_at(head)->region;
}

// False: no run of ours. Mappings may lie in the arena's range, too, where it went on behind them.
static bool arena_block(const void *pointer, const char *function, struct block *block) {
    if (!in_arena((uintptr_t)pointer)) {
        return false;
    }
    uint32_t unit = unit_of((uintptr_t)pointer);
    uint32_t head = unit;
    uint64_t shape = run_load(head);
    if (run_kind_of(shape) == RUN_NONE) {
        head = unit - root.fixed.units[unit].back;
        shape = run_load(head);
    }
    if (run_kind_of(shape) == RUN_SPAN) {
        small_block(head, pointer, function, block);
        return true;
    }
    if (run_kind_of(shape) == RUN_LARGE && unit - head < run_length_of(shape)) {
        large_block(head, pointer, function, block);
        return true;
    }
    return false;
}

// False: it is neither sampled nor a mapping of ours.
static bool block_apart(const void *pointer, const char *function, struct block *block) {
    block->head = 0;
    block->class = 0;
    block->region = NULL;
    if (guard_holds(pointer)) {
        block->kind = BLOCK_GUARDED;
        block->size = guard_size(pointer, function);
        return true;
    }
    struct mapping mapping;
    if (!mapping_find(pointer, &mapping)) {
        return false;
    }
    block->kind = BLOCK_MAPPING;
    block->region = mapping.region;
    block->size = harden_on() && mapping.region == NULL ? mapping.asked : mapping.size;
    return true;
}

COLD _Noreturn void block_panic(const char *function, const char *kind, const void *pointer) {
    struct mapping mapping;
    if (mapping_around(pointer, &mapping)) {
        panic_mapped(function, kind, pointer, &mapping);
    }
    panic_misuse(function, kind, pointer);
}

// Of a large block that was freed nothing is left to tell it from memory that never was a block.
static COLD _Noreturn void panic_no_block(const void *pointer, const char *function) {
    struct mapping mapping;
    if (mapping_around(pointer, &mapping) && (uintptr_t)pointer != mapping.address) {
        panic_mapped(function, "pointer into the middle of a block", pointer, &mapping);
    }
    if (harden_on() && fence_was(pointer)) {
        panic_free_already(pointer, function);
    }
    panic_misuse(function, "pointer freed already or never given out", pointer);
}

struct block block_of(const void *pointer, const char *function) {
    struct block block;
    if ((uintptr_t)pointer % BLOCK_ALIGN != 0) {
        block_panic(function, "unaligned pointer", pointer);
    }
    if (!arena_block(pointer, function, &block) && !block_apart(pointer, function, &block)) {
        panic_no_block(pointer, function);
    }
    return block;
}

unsigned block_plain_class(const void *pointer) {
    uintptr_t address = (uintptr_t)pointer;
    if (address % BLOCK_ALIGN != 0 || !in_arena(address) || root.live.watch != 0) {
        return 0;
    }
    struct unit unit = root.fixed.units[unit_of(address)];
    unsigned class = unit.bin / sizeof(struct bin);
    if (class == 0) {
        return 0;
    }
    uint32_t head = unit_of(address) - unit.back;
    struct run *span = run_at(head);
    size_t offset = address - unit_address(head);
    unsigned index = sizeclass_index(class, offset);
    bool used = index * sizeclass_size(class) == offset &&
                index < atomic_load_explicit(&span->carved, memory_order_relaxed) &&
                !span_is_free(span, index) &&
                *block_mark((void *)pointer) != free_mark(root.fixed.units);
    return used ? class : 0;
}
