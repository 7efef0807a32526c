// Which mappings are not made again once one was freed: the next block comes from the arena. What
// such a block makes room for, and how one leaves the arena to become a mapping.
#include "recycle.h"

#include "arena.h"
#include "large.h"
#include "options.h"
#include "release.h"
#include "root.h"
#include "setups.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define MAPPED (MAPPING_THRESHOLD + MIB)

static int forget_recycled(void **state) {
    (void)state;
    atomic_store(&root.live.recycled, 0);
    return 0;
}

static enum block_kind kind_of(const void *block) {
    return block_of(block, "free").kind;
}

static enum block_kind kind_made(size_t size) {
    void *block = lucid_malloc(size);
    assert_non_null(block);
    enum block_kind kind = kind_of(block);
    lucid_free(block);
    return kind;
}

// A first block of so many bytes, freed, and what the second is.
static enum block_kind second_of(size_t size) {
    assert_int_equal(kind_made(size), BLOCK_MAPPING);
    return kind_made(size);
}

static void freed_mappings_are_recycled(void **state) {
    (void)state;
    assert_int_equal(second_of(MAPPED), BLOCK_LARGE);
    void *larger = lucid_malloc(MAPPED + MIB);
    assert_int_equal(kind_of(larger), BLOCK_MAPPING);
    lucid_free(larger);
}

static void not_what_is_too_large(void **state) {
    (void)state;
    assert_int_equal(second_of(RECYCLED_MAX + MIB), BLOCK_MAPPING);
}

// Neither one that was freed then, nor one that was freed before.
static void require_not_recycled(void) {
    atomic_store(&root.live.recycled, 0);
    assert_int_equal(second_of(MAPPED), BLOCK_MAPPING);
    assert_int_equal(atomic_load(&root.live.recycled), 0);
    atomic_store(&root.live.recycled, MAPPED);
    assert_int_equal(kind_made(MAPPED), BLOCK_MAPPING);
}

static void not_where_it_would_stay(void **state) {
    (void)state;
    static const enum option options[] = {OPTION_PURGE, OPTION_HELPER};
    for (unsigned i = 0; i < 2; i++) {
        root.live.options.value[options[i]] = 0;
        require_not_recycled();
        root.live.options.value[options[i]] = 1;
    }
    root.live.giving.refused = 1;
    require_not_recycled();
    root.live.giving.refused = 0;
}

static void not_where_a_threshold_was_set(void **state) {
    (void)state;
    root.live.options.source[OPTION_MMAP_THRESHOLD] = SOURCE_PROGRAM;
    require_not_recycled();
    root.live.options.source[OPTION_MMAP_THRESHOLD] = SOURCE_DEFAULT;
}

static void not_where_mappings_have_fences(void **state) {
    (void)state;
    void *first = large_new(MAPPED, BLOCK_ALIGN, false, NULL);
    struct block block = block_of(first, "free");
    root.live.watch |= WATCH_HARDEN;
    large_free(first, &block, "free");
    assert_int_equal(atomic_load(&root.live.recycled), 0);
    atomic_store(&root.live.recycled, MAPPED);
    assert_int_equal(recycle_threshold(), MAPPING_THRESHOLD);
    root.live.watch &= ~(uint32_t)WATCH_HARDEN;
}

// A recycled block that cannot grow where it is becomes a mapping, which can.
static void becomes_a_mapping_to_grow(void **state) {
    (void)state;
    atomic_store(&root.live.recycled, RECYCLED_MAX);
    char *block = lucid_malloc(MAPPED);
    assert_int_equal(kind_of(block), BLOCK_LARGE);
    fill_behind(block);
    block[0] = 1;
    block[MAPPED - 1] = 2;
    block = lucid_realloc(block, 2 * MAPPED);
    assert_non_null(block);
    assert_int_equal(kind_of(block), BLOCK_MAPPING);
    assert_int_equal(block[0], 1);
    assert_int_equal(block[MAPPED - 1], 2);
    lucid_free(block);
}

// Where nothing is behind it, it may become larger than any that was freed.
static void grows_where_it_is(void **state) {
    (void)state;
    atomic_store(&root.live.recycled, RECYCLED_MAX);
    char *block = lucid_malloc(2 * MAPPED);
    assert_ptr_equal(lucid_realloc(block, MAPPED), block);
    atomic_store(&root.live.recycled, MAPPED);
    assert_ptr_equal(lucid_realloc(block, 2 * MAPPED), block);
    assert_int_equal(kind_of(block), BLOCK_LARGE);
    lucid_free(block);
}

// The region keeps the books of its blocks.
static void not_what_a_region_has(void **state) {
    (void)state;
    atomic_store(&root.live.recycled, RECYCLED_MAX);
    lucid_heap *heap = lucid_heap_new("growing");
    char *block = lucid_heap_alloc(heap, MIB);
    fill_behind(block);
    uint32_t mappings = root.live.mappings.count;
    block = lucid_realloc(block, MAPPED);
    assert_non_null(block);
    lucid_heap_destroy(heap);
    assert_int_equal(root.live.mappings.count, mappings);
    arena_check();
}

static void not_with_a_limit(void **state) {
    (void)state;
    root.live.allowance.most = (uint64_t)1 << 40;
    require_not_recycled();
    root.live.allowance.most = 0;
}

// The arena could not give it back, or only its memory.
static void not_what_would_be_locked(void **state) {
    (void)state;
    if (geteuid() != 0 || UNDER_TSAN || mlockall(MCL_FUTURE) != 0) {
        skip(); // the sanitizer locks nothing
    }
    assert_int_equal(second_of(MAPPED), BLOCK_MAPPING);
    (void)munlockall();
}

static void not_where_addresses_are_few(void **state) {
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    struct rlimit few = {.rlim_cur = (rlim_t)1 << 47, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &few), 0);
    assert_int_equal(second_of(MAPPED), BLOCK_MAPPING);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
}

// They are zero already, and often used in part.
static void not_what_is_to_be_zero(void **state) {
    (void)state;
    assert_int_equal(second_of(MAPPED), BLOCK_LARGE);
    void *block = lucid_calloc(1, MAPPED);
    assert_int_equal(kind_of(block), BLOCK_MAPPING);
    lucid_free(block);
}

static void not_for_the_sake_of_alignment(void **state) {
    (void)state;
    atomic_store(&root.live.recycled, RECYCLED_MAX);
    void *block = lucid_memalign(2 * MAPPING_THRESHOLD, MIB);
    assert_int_equal(kind_of(block), BLOCK_MAPPING);
    lucid_free(block);
}

// What one has left does not stay beside the next one when something small lies in it.
static void makes_room_for_the_next(void **state) {
    (void)state;
    assert_int_equal(second_of(MAPPED), BLOCK_LARGE);
    (void)release_dirty(0, 0);
    char *first = lucid_malloc(MAPPED);
    assert_int_equal(kind_of(first), BLOCK_LARGE);
    uint32_t head = unit_of((uintptr_t)first);
    fill_behind(first);
    lucid_free(first);
    uint32_t small = arena_take(1, 1, RUN_LARGE, false); // used memory comes first
    assert_in_range(small, head, head + (MAPPED >> UNIT_SHIFT));
    assert_in_range(release_possible(), MAPPED >> (UNIT_SHIFT + 1), MAPPED >> UNIT_SHIFT);
    uint64_t growth = root.live.pool.growth_units;
    root.live.pool.growth_units =
        UINT32_MAX; // so much went before that nothing more does for others
    void *next = lucid_malloc(MAPPED);
    root.live.pool.growth_units = growth;
    assert_int_equal(kind_of(next), BLOCK_LARGE);
    assert_true(release_possible() < MAPPED >> (UNIT_SHIFT + 1));
    lucid_free(next);
    assert_true(arena_free_large(small));
}

// It does not lie about beside a mapping that it could not serve.
static void makes_room_for_a_mapping(void **state) {
    (void)state;
    assert_int_equal(second_of(MAPPED), BLOCK_LARGE);
    assert_true(release_possible() >= MAPPED >> UNIT_SHIFT);
    void *larger = lucid_malloc(2 * MAPPED);
    assert_int_equal(kind_of(larger), BLOCK_MAPPING);
    assert_true(release_possible() < MAPPED >> UNIT_SHIFT);
    lucid_free(larger);
}

// ---- copied out of the arena --------------------------------------------------------------------

#define MOVED (30 * MIB)

// Units that are free and dirty after a block has become a mapping.
static uint64_t left_by_growing_out(void) {
    (void)release_dirty(0, 0);
    char *block = lucid_malloc(MOVED);
    assert_int_equal(kind_of(block), BLOCK_LARGE);
    test_fill(block, MOVED);
    fill_behind(block);
    char *moved = lucid_realloc(block, 2 * MOVED);
    assert_int_equal(kind_of(moved), BLOCK_MAPPING);
    assert_true(test_filled(moved, block, MOVED, MOVED));
    uint64_t left = release_possible();
    lucid_free(moved);
    return left;
}

// The block and its copy are not both in memory.
static void goes_back_part_by_part(void **state) {
    (void)state;
    assert_in_range(left_by_growing_out(), 0, MOVED >> (UNIT_SHIFT + 1));
}

static void but_stays_where_nothing_goes_back(void **state) {
    (void)state;
    uint64_t was = root.live.options.value[OPTION_PURGE];
    root.live.options.value[OPTION_PURGE] = 0;
    assert_in_range(left_by_growing_out(), MOVED >> UNIT_SHIFT, UINT32_MAX);
    root.live.options.value[OPTION_PURGE] = was;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(freed_mappings_are_recycled, forget_recycled),
        cmocka_unit_test_setup(not_what_is_too_large, forget_recycled),
        cmocka_unit_test_setup(not_where_it_would_stay, forget_recycled),
        cmocka_unit_test_setup(not_where_a_threshold_was_set, forget_recycled),
        cmocka_unit_test_setup(not_where_mappings_have_fences, forget_recycled),
        cmocka_unit_test_setup(becomes_a_mapping_to_grow, forget_recycled),
        cmocka_unit_test_setup(not_what_a_region_has, forget_recycled),
        cmocka_unit_test_setup(not_with_a_limit, forget_recycled),
        cmocka_unit_test_setup(not_what_would_be_locked, forget_recycled),
        cmocka_unit_test_setup(not_where_addresses_are_few, forget_recycled),
        cmocka_unit_test_setup(not_what_is_to_be_zero, forget_recycled),
        cmocka_unit_test_setup(not_for_the_sake_of_alignment, forget_recycled),
        cmocka_unit_test_setup(makes_room_for_the_next, forget_recycled),
        cmocka_unit_test_setup(grows_where_it_is, forget_recycled),
        cmocka_unit_test_setup(makes_room_for_a_mapping, forget_recycled),
        cmocka_unit_test_setup(goes_back_part_by_part, forget_recycled),
        cmocka_unit_test_setup(but_stays_where_nothing_goes_back, forget_recycled),
    };
    return cmocka_run_group_tests(tests, without_helper, NULL);
}
