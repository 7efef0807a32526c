#include "large.h"

#include "allowance.h"
#include "arena.h"
#include "event.h"
#include "filled.h"
#include "harden.h"
#include "heap.h"
#include "huge.h"
#include "loose.h"
#include "mapping.h"
#include "options.h"
#include "os/os.h"
#include "panic.h"
#include "purge.h"
#include "recycle.h"
#include "release.h"

#include <string.h>

// Of a block that is copied out of the arena.
#define MOVED_PART (LUCID_STRESS ? (size_t)64 << 10 : (size_t)4 << 20)

static uint32_t units_for(size_t size) {
    return (uint32_t)((size + UNIT_SIZE - 1) >> UNIT_SHIFT);
}

// Would a block of that size be a mapping if nothing were recycled?
static bool is_recycled(size_t size) {
    return size > recycle_wished_threshold();
}

// Some of a block, or all, lies on clean memory and is about to be filled, which costs more than to
// give as much back.
static void note_growth(size_t size, size_t grown) {
    if (is_recycled(size)) {
        release_for_recycled();
    } else if (grown >= GROWTH_MIN && root.live.options.value[OPTION_PURGE]) {
        release_for_growth();
    }
}

static size_t populate_most(void) {
    return os_single_threaded() ? POPULATE_ZEROED_MAX : POPULATE_ZEROED_THREADS_MAX;
}

static void count_made(void) {
    struct heap *heap = heap_mine();
    if (heap != heap_of_nobody()) {
        heap->counters.larges++;
    } else {
        (void)atomic_fetch_add_explicit(&root.live.larges, 1, memory_order_relaxed);
    }
}

static unsigned lane_here(void) {
    const struct heap *heap = heap_mine();
    return heap == heap_of_nobody() ? 0 : heap->lane;
}

// Is a free run worth keeping at hand for the lane's next large block?
static bool is_worth_keeping(uint32_t units, unsigned lane) {
    if (unlikely(harden_on())) {
        return false; // nobody is to get it soon
    }
    if (units > LOOSE_UNITS_MAX) {
        return true; // one at a time
    }
    if (arena_is_busy()) {
        return true; // rather than wait
    }
    // Else it is joined with its neighbours, for blocks of any length.
    return loose_units_of(lane) <= (root_used_units() - loose_units_long(lane)) / LOOSE_SHARE;
}

static uint32_t take_run(size_t size, uint32_t units, size_t alignment, bool zero) {
    uint32_t head = arena_take_kept(units, alignment, lane_here());
    if (head != 0) { // dirty throughout
        if (zero) {
            memset((void *)unit_address(head), 0, size);
        }
        return head;
    }
    head = arena_take(units, alignment, RUN_BUSY, zero);
    if (head != 0 && (run_at(head)->dirty < units || !is_recycled(size))) {
        note_growth(size, size);
    }
    return head;
}

// A block of `size` bytes in a run for `room` bytes. The run is BUSY until its record is whole: the
// child of a fork that comes in between takes it back, as it belongs to nobody yet.
static void *run_new(size_t size, size_t room, size_t alignment, bool zero,
                     struct lucid_region *region) {
    if (size >= HUGE_BLOCK_MIN) {
        (void)heap_get(); // which remembers whether the thread fills such blocks (filled.h)
    }
    uint32_t head = take_run(size, units_for(room), alignment, zero);
    if (head == 0) {
        return NULL;
    }
    if (run_at(head)->dirty < units_for(size)) {
        huge_block(unit_address(head), size, zero);
    }
    if (zero && size <= populate_most() && run_at(head)->dirty == 0) {
        arena_populate(head, size);
    }
    run_at(head)->size = size;
    run_at(head)->birth = (uint32_t)os_now_ms();
    run_at(head)->region = region;
    run_store(head, RUN_LARGE, units_for(room));
    count_made();
    event_raise(EVENT_LARGE_MADE, (void *)unit_address(head), size, 0, 1);
    return (void *)unit_address(head);
}

void *large_new_run(size_t size, size_t alignment, bool zero, struct lucid_region *region) {
    bool fits = max_size(size, alignment) <= RUN_BYTES_MAX;
    return fits ? run_new(size, size, alignment, zero, region) : NULL;
}

static size_t free_bytes(void) {
    uint64_t top = atomic_load_explicit(&root.live.top, memory_order_relaxed);
    uint64_t end =
        atomic_load_explicit(&root.live.reach, memory_order_relaxed) / (UNIT_SIZE / BLOCK_ALIGN);
    uint64_t free = __atomic_load_n(&root.live.pool.free_units, __ATOMIC_RELAXED);
    return (free + loose_units() + (end > top ? end - top : 0)) << UNIT_SHIFT;
}

COLD void *large_new_last(size_t size, size_t alignment, bool zero, struct lucid_region *region) {
    bool usual = max_size(size, alignment) <= recycle_wished_threshold();
    return usual || max_size(size, alignment) <= free_bytes()
               ? large_new_run(size, alignment, zero, region)
               : NULL;
}

// When the system took nothing back, or let there be no helper. 0: it never refused.
static uint32_t last_refusal(void) {
    return __atomic_load_n(&root.live.giving.refused, __ATOMIC_RELAXED);
}

// So much is free in the arena, and the system takes nothing of it back.
COLD static bool stays_free_otherwise(size_t size) {
    return last_refusal() != 0 &&
           __atomic_load_n(&root.live.pool.dirty_units, __ATOMIC_RELAXED) >= size >> UNIT_SHIFT &&
           recycle_is_locked();
}

static bool belongs_into_the_arena(size_t size, size_t alignment, bool zero) {
    size_t wished = recycle_wished_threshold();
    if (alignment > wished) {
        return false; // what is cut off in front would be as large as what is a mapping otherwise
    }
    size_t most = zero ? wished : recycle_threshold(); // mappings are zero
    return size <= most || (!harden_on() && stays_free_otherwise(size));
}

COLD void *large_new_mapping(size_t size, size_t alignment, bool zero,
                             struct lucid_region *region) {
    if (recycle_threshold() > recycle_wished_threshold()) {
        release_for_recycled(); // what is recycled is not to lie about beside it
    }
    void *block = mapping_new(size, alignment, region);
    if (block == NULL) {
        return NULL;
    }
    count_made();
    if (!zero) { // what is to be zero may be a table that stays mostly empty
        huge_mapping_filled((uintptr_t)block, align_up(size, root.fixed.page_size));
    }
    return block;
}

static COLD void *mapping_or_last_resort(size_t size, size_t alignment, bool zero,
                                         struct lucid_region *region) {
    void *block = large_new_mapping(size, alignment, zero, region);
    return block != NULL ? block : large_new_last(size, alignment, zero, region);
}

void *large_new(size_t size, size_t alignment, bool zero, struct lucid_region *region) {
    if (size > PTRDIFF_MAX) {
        return NULL;
    }
    if (!belongs_into_the_arena(size, alignment, zero)) {
        return mapping_or_last_resort(size, alignment, zero, region);
    }
    void *block = large_new_run(size, alignment, zero, region);
    return likely(block != NULL) ? block : large_new_mapping(size, alignment, zero, region);
}

bool large_outgrows(const struct block *block, size_t size) {
    if (block->kind != BLOCK_LARGE || block->region != NULL || size <= block->size) {
        return false;
    }
    return is_recycled(size) && size <= recycle_threshold();
}

bool large_grows_on(const struct block *block, size_t size) {
    return block->kind == BLOCK_LARGE && block->region == NULL && size > block->size &&
           size - block->size < block->size / GROWING_LEAST && size <= recycle_threshold() &&
           !harden_on() && !allowance_is_limited();
}

// Is most of the block worth having back before all of it is copied? Only where it leaves the
// arena, which has no use for so much soon.
static bool moves_by_parts(const void *copy, const struct block *block, size_t size) {
    return block->kind == BLOCK_LARGE && block->region == NULL && size == block->size &&
           size > 2 * MOVED_PART && !in_arena((uintptr_t)copy) && !harden_on() &&
           root.live.options.value[OPTION_PURGE];
}

COLD static size_t move_parts(void *copy, void *pointer, const struct block *block, size_t size) {
    uintptr_t start = (uintptr_t)pointer;
    uintptr_t first = align_up(start, MOVED_PART); // whole huge pages
    uint32_t refused = last_refusal();
    for (uintptr_t end = start + size; end > first && last_refusal() == refused;
         end = start + size) {
        size_t rest = align_down(end - 1, MOVED_PART) - start;
        memcpy((char *)copy + rest, (char *)pointer + rest, size - rest);
        size = rest;
        (void)large_shrink(pointer, block, size);
        release_for_recycled();
    }
    return size;
}

size_t large_move_end(void *copy, void *pointer, const struct block *block, size_t size) {
    return moves_by_parts(copy, block, size) ? move_parts(copy, pointer, block, size) : size;
}

void *large_new_growing(size_t size) {
    return run_new(size, size + size / GROWING_SPARE, BLOCK_ALIGN, false, NULL);
}

void large_free(void *pointer, const struct block *block, const char *function) {
    if (block->kind == BLOCK_MAPPING) {
        if (!mapping_free(pointer)) {
            panic_misuse(function, "double free of", pointer);
        }
        recycle_note_freed(block->size);
        return;
    }
    filled_block_ends(block->head);
    unsigned lane = lane_here();
    uint32_t units = run_length_of(run_load(block->head));
    bool was_one = is_worth_keeping(units, lane) ? arena_keep_large(block->head, lane)
                                                 : arena_free_large(block->head);
    if (!was_one) {
        panic_misuse(function, "double free of", pointer);
    }
    event_raise(EVENT_LARGE_GONE, pointer, block->size, 0, 1);
    purge_after_free();
}

// Where it is a block may become larger than those which were freed: that costs no copy. So may one
// that is in the arena although it is larger than those.
static size_t run_limit(size_t now) {
    size_t threshold = recycle_threshold();
    bool larger = threshold > recycle_wished_threshold() || now > threshold;
    return max_size(larger ? RECYCLED_MAX : threshold, now);
}

static void *run_resize(void *pointer, const struct block *block, size_t size) {
    uint32_t units = units_for(size);
    uint32_t length = run_length_of(run_load(block->head));
    if (size <= SMALL_MAX || size > run_limit(block->size)) {
        return NULL;
    }
    if (units < length && size < run_at(block->head)->size) { // else it has a spare end
        run_at(block->head)->size = size; // first: it never exceeds the run's length
        arena_shrink(block->head, units);
        purge_after_free();
    } else if (units > length) {
        if (!arena_extend(block->head, units)) {
            return NULL;
        }
        note_growth(size, (size_t)(units - length) << UNIT_SHIFT);
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

void *large_resize(void *pointer, const struct block *block, size_t size) {
    if (size == block->size) {
        return pointer; // a program that asked for its usable size, whatever would suit it now
    }
    if (block->kind == BLOCK_LARGE) {
        return run_resize(pointer, block, size);
    }
    if (size <= recycle_wished_threshold() / 2) {
        return NULL; // it belongs into the arena now
    }
    return mapping_resize(pointer, size);
}
