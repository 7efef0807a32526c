#include "large.h"

#include "arena.h"
#include "event.h"
#include "huge.h"
#include "loose.h"
#include "mapping.h"
#include "options.h"
#include "os/os.h"
#include "panic.h"
#include "purge.h"
#include "release.h"

#include <string.h>

static uint32_t units_for(size_t size) {
    return (uint32_t)((size + UNIT_SIZE - 1) >> UNIT_SHIFT);
}

static size_t wished_threshold(void) {
    return root.live.options.value[OPTION_MMAP_THRESHOLD];
}

// Blocks above that have mappings of their own.
static size_t mapping_threshold(void) {
    size_t recycled = atomic_load_explicit(&root.live.recycled, memory_order_relaxed);
    return max_size(wished_threshold(), recycled);
}

// Is a mapping of that size, which is being freed, one that the program may make again soon, and
// would the arena give its memory back otherwise?
static bool is_recycled(size_t size) {
    const struct option_values *options = &root.live.options;
    if (size > RECYCLED_MAX) {
        return false; // so much is not to stay even for a moment
    }
    if (options->source[OPTION_MMAP_THRESHOLD] != SOURCE_DEFAULT) {
        return false; // the program knows better
    }
    if (!options->value[OPTION_PURGE] || !options->value[OPTION_HELPER]) {
        return false; // it would stay for good
    }
    if (__atomic_load_n(&root.live.giving.refused, __ATOMIC_RELAXED) != 0) {
        return false; // so it might
    }
    return !(root.live.watch & WATCH_HARDEN); // a mapping has fences
}

// A block of so many bytes is about to be filled, which costs more than to give as much back.
static void note_growth(size_t bytes) {
    if (bytes >= GROWTH_MIN && root.live.options.value[OPTION_PURGE]) {
        release_for_growth();
    }
}

static size_t populate_most(void) {
    return os_single_threaded() ? POPULATE_ZEROED_MAX : POPULATE_ZEROED_THREADS_MAX;
}

static unsigned lane_here(void) {
    const struct heap *heap = heap_mine();
    return heap == heap_of_nobody() ? 0 : heap->lane;
}

// Is a free run worth keeping at hand for the lane's next large block?
static bool is_worth_keeping(uint32_t length, unsigned lane) {
    if (length > LOOSE_UNITS_MAX) {
        return false;
    }
    if (unlikely(root.live.watch & WATCH_HARDEN)) {
        return false; // nobody is to get it soon
    }
    if (arena_is_busy()) {
        return true; // rather than wait
    }
    // Else it is joined with its neighbours, for blocks of any length.
    return loose_units_of(lane) <= root_used_units() / LOOSE_SHARE;
}

// One that the lane has had before: dirty throughout, and nothing grows.
static uint32_t take_loose(size_t size, size_t alignment, bool zero) {
    uint32_t head = alignment <= UNIT_SIZE ? loose_take(lane_here(), units_for(size)) : 0;
    if (head != 0 && zero) {
        memset((void *)unit_address(head), 0, size);
    }
    return head;
}

static uint32_t take_run(size_t size, size_t alignment, bool zero) {
    uint32_t head = take_loose(size, alignment, zero);
    if (head == 0) {
        head = arena_take(units_for(size), alignment, RUN_BUSY, zero);
        if (head != 0) {
            note_growth(size);
        }
    }
    return head;
}

// The run is BUSY until its record is whole: the child of a fork that comes in between takes it
// back, as it belongs to nobody yet.
static void *run_new(size_t size, size_t alignment, bool zero, struct lucid_region *region) {
    uint32_t head = take_run(size, alignment, zero);
    if (head == 0) {
        return NULL;
    }
    if (run_at(head)->dirty < units_for(size)) {
        huge_block(unit_address(head), size);
    }
    if (zero && size <= populate_most() && run_at(head)->dirty == 0) {
        arena_populate(head, size);
    }
    run_at(head)->size = size;
    run_at(head)->birth = (uint32_t)os_now_ms();
    run_at(head)->region = region;
    run_store(head, RUN_LARGE, units_for(size));
    event_raise(EVENT_LARGE_MADE, (void *)unit_address(head), size, 0, 1);
    return (void *)unit_address(head);
}

// What is recycled is not to lie about beside a mapping that it does not serve.
static void leave_room(void) {
    if (atomic_load_explicit(&root.live.recycled, memory_order_relaxed) != 0) {
        (void)release_dirty(root_used_units() / GROWTH_SHARE, 0);
    }
}

void *large_new_run(size_t size, size_t alignment, bool zero, struct lucid_region *region) {
    bool fits = size <= mapping_threshold() && alignment <= mapping_threshold();
    return fits ? run_new(size, alignment, zero, region) : NULL;
}

void *large_new(size_t size, size_t alignment, bool zero, struct lucid_region *region) {
    if (size > PTRDIFF_MAX) {
        return NULL;
    }
    void *block = large_new_run(size, alignment, zero, region);
    if (block == NULL) {
        leave_room();
        block = mapping_new(size, alignment, zero, region);
    }
    return block;
}

void large_free(void *pointer, const struct block *block, const char *function) {
    if (block->kind == BLOCK_MAPPING) {
        if (!mapping_free(pointer)) {
            panic_misuse(function, "double free of", pointer);
        }
        if (block->size > mapping_threshold() && is_recycled(block->size)) {
            atomic_store_explicit(&root.live.recycled, block->size, memory_order_relaxed);
        }
        return;
    }
    unsigned lane = lane_here();
    bool keep = is_worth_keeping(run_length_of(run_load(block->head)), lane);
    if (keep ? !arena_keep_large(block->head, lane) : !arena_free_large(block->head)) {
        panic_misuse(function, "double free of", pointer);
    }
    event_raise(EVENT_LARGE_GONE, pointer, block->size, 0, 1);
    purge_after_free();
}

// How large a run may become where it is: as large as ever, once it is larger than some mappings.
static size_t run_limit(void) {
    size_t threshold = mapping_threshold();
    return threshold > wished_threshold() ? max_size(threshold, RECYCLED_MAX) : threshold;
}

static void *run_resize(void *pointer, const struct block *block, size_t size) {
    uint32_t units = units_for(size);
    uint32_t length = run_length_of(run_load(block->head));
    if (size <= SMALL_MAX || size > run_limit()) {
        return NULL;
    }
    if (units < length) {
        run_at(block->head)->size = size; // first: it never exceeds the run's length
        arena_shrink(block->head, units);
        purge_after_free();
    } else if (units > length) {
        if (!arena_extend(block->head, units)) {
            return NULL;
        }
        note_growth((size_t)(units - length) << UNIT_SHIFT);
    }
    run_at(block->head)->size = size;
    return pointer;
}

void *large_shrink(void *pointer, const struct block *block, size_t size) {
    void *shrunk = block->kind == BLOCK_LARGE
                       ? run_resize(pointer, block, max_size(size, SMALL_MAX + 1))
                       : mapping_resize(pointer, size);
    return shrunk != NULL ? shrunk : pointer;
}

// A block that grows so large may go on growing, for which a mapping needs no copies.
static void *run_to_mapping(void *pointer, const struct block *block, size_t size) {
    leave_room();
    void *moved = mapping_new(size, BLOCK_ALIGN, false, block->region);
    if (moved != NULL) {
        memcpy(moved, pointer, block->size);
        large_free(pointer, block, "realloc");
    }
    return moved;
}

void *large_resize(void *pointer, const struct block *block, size_t size) {
    if (size == block->size) {
        return pointer; // a program that asked for its usable size, whatever would suit it now
    }
    if (block->kind == BLOCK_LARGE) {
        void *resized = run_resize(pointer, block, size);
        bool moves = resized == NULL && size > block->size && size > wished_threshold();
        return moves ? run_to_mapping(pointer, block, size) : resized;
    }
    if (size <= wished_threshold() / 2) {
        return NULL; // it belongs into the arena now
    }
    return mapping_resize(pointer, size);
}
