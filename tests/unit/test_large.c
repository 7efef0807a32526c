// Which zeroed blocks are put there at once: those that would cost two faults for each page, up to
// a size that is larger in a process with threads. And what of a large block that is freed stays
// with the thread's lane, for its next one of that length, which mappings are not made again, and
// which blocks have a spare end.
#include "large.h"

#include "arena.h"
#include "loose.h"
#include "options.h"
#include "recycle.h"
#include "release.h"
#include "root.h"
#include "setups.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static pthread_barrier_t barrier;

// Is a clean zeroed block of that size there? They stay, so that the next is clean too.
static bool is_put_there(size_t size) {
    void *block = large_new(size, BLOCK_ALIGN, true, NULL);
    assert_non_null(block);
    return run_at(unit_of((uintptr_t)block))->dirty != 0;
}

static void *wait_for_end(void *argument) {
    (void)pthread_barrier_wait(&barrier);
    return argument;
}

static void threads_have_more_put_there(void **state) {
    (void)state;
    bool put_there = is_put_there(POPULATE_ZEROED_MAX);
    if (root.live.populate_refused != 0) {
        skip(); // this kernel cannot
    }
    assert_true(put_there);
    assert_int_equal(is_put_there(POPULATE_ZEROED_THREADS_MAX), !os_single_threaded());
    pthread_t thread;
    (void)pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_end, NULL), 0);
    assert_true(is_put_there(POPULATE_ZEROED_THREADS_MAX));
    assert_false(is_put_there(POPULATE_ZEROED_THREADS_MAX + UNIT_SIZE));
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_join(thread, NULL);
}

// ---- kept by the lane ---------------------------------------------------------------------------

#define UNITS 3u

static void *new_block(uint32_t units, bool zero) {
    void *block = large_new(units * UNIT_SIZE, BLOCK_ALIGN, zero, NULL);
    assert_non_null(block);
    return block;
}

static uint64_t shape_of(const void *block) {
    return run_load(unit_of((uintptr_t)block));
}

static void free_block(void *pointer) {
    struct block block = block_of(pointer, "free");
    large_free(pointer, &block, "free");
}

// Nothing is loose, and so much is in use that a lane may keep a few units.
static void *in_use;

static int use_much(void **state) {
    (void)state;
    arena_drain();
    in_use = large_new(4 * UNITS * LOOSE_SHARE * UNIT_SIZE, BLOCK_ALIGN, false, NULL);
    return in_use != NULL ? 0 : -1;
}

static int use_no_more(void **state) {
    (void)state;
    free_block(in_use);
    arena_drain();
    arena_check();
    return 0;
}

// The one that was freed last comes back first; another length does not get it.
static void next_of_its_length_gets_it(void **state) {
    (void)state;
    void *first = new_block(UNITS, false);
    void *second = new_block(UNITS, false);
    void *other = new_block(UNITS - 1, false);
    assert_true(arena_free_large(unit_of((uintptr_t)other)));
    free_block(first);
    free_block(second);
    assert_int_equal(run_kind_of(shape_of(first)), RUN_LOOSE);
    assert_int_equal(run_kind_of(shape_of(second)), RUN_LOOSE);
    assert_int_equal(loose_units(), 2 * UNITS);
    assert_ptr_equal(new_block(UNITS - 1, false), other);
    assert_ptr_equal(new_block(UNITS, false), second);
    assert_ptr_equal(new_block(UNITS, false), first);
    assert_int_equal(shape_of(first), run_shape(RUN_LARGE, UNITS));
    assert_int_equal(block_of(first, "free").size, UNITS * UNIT_SIZE);
    free_block(first);
    free_block(second);
    free_block(other);
}

static void zeroed_one_is_zero(void **state) {
    (void)state;
    char *block = new_block(UNITS, false);
    memset(block, 7, UNITS * UNIT_SIZE);
    free_block(block);
    assert_ptr_equal(new_block(UNITS, true), block);
    for (size_t i = 0; i < UNITS * UNIT_SIZE; i++) {
        assert_int_equal(block[i], 0);
    }
    free_block(block);
}

// A run is aligned to units only, unless chance or a former block had it otherwise.
static void aligned_one_is_aligned(void **state) {
    (void)state;
    void *blocks[2] = {new_block(UNITS, false), new_block(UNITS, false)};
    free_block(blocks[0]);
    free_block(blocks[1]);
    void *aligned = large_new(UNITS * UNIT_SIZE, 64 * UNIT_SIZE, false, NULL);
    assert_int_equal((uintptr_t)aligned % (64 * UNIT_SIZE), 0);
    free_block(aligned);
    assert_ptr_equal(large_new(UNITS * UNIT_SIZE, 64 * UNIT_SIZE, false, NULL), aligned);
    free_block(aligned);
}

static void of_long_ones_the_last_is_kept(void **state) {
    (void)state;
    uint32_t length = LOOSE_UNITS_MAX + 1;
    void *first = new_block(length, false);
    void *between = new_block(1, false);
    void *second = new_block(length + 3, false);
    void *behind = new_block(1, false);
    free_block(first);
    assert_int_equal(shape_of(first), run_shape(RUN_LOOSE, length));
    assert_int_equal(loose_units(), length);
    assert_int_equal(loose_units_of(0), 0);
    assert_ptr_equal(new_block(length, false), first);
    assert_int_equal(shape_of(first), run_shape(RUN_LARGE, length));
    free_block(first);
    free_block(second);
    assert_in_range(run_kind_of(shape_of(first)), RUN_NONE, RUN_FREE);
    assert_int_equal(run_kind_of(shape_of(second)), RUN_LOOSE);
    assert_int_equal(loose_units(), length + 3);
    first = new_block(length, false); // another length: neither is kept any more
    assert_in_range(run_kind_of(shape_of(second)), RUN_NONE, RUN_FREE);
    assert_int_equal(loose_units(), 0);
    free_block(first);
    free_block(between);
    free_block(behind);
    arena_drain();
    assert_int_equal(loose_units(), 0);
}

static void a_long_one_is_zero_and_aligned(void **state) {
    (void)state;
    size_t size = (LOOSE_UNITS_MAX + 1) * UNIT_SIZE;
    char *block = new_block(LOOSE_UNITS_MAX + 1, false);
    memset(block, 7, size);
    free_block(block);
    assert_ptr_equal(new_block(LOOSE_UNITS_MAX + 1, true), block);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(block[i], 0);
    }
    free_block(block);
    char *aligned = large_new(size, 64 * UNIT_SIZE, false, NULL);
    assert_true(is_aligned((uintptr_t)aligned, 64 * UNIT_SIZE));
    free_block(aligned);
}

static void hardened_ones_are_not_kept(void **state) {
    (void)state;
    void *block = new_block(UNITS, false);
    root.live.watch |= WATCH_HARDEN;
    free_block(block);
    root.live.watch &= ~(uint32_t)WATCH_HARDEN;
    assert_int_equal(loose_units(), 0);
}

// What is kept is joined with nobody, so there is to be little of it.
static void no_more_than_a_share_is_kept(void **state) {
    (void)state;
    void *blocks[32];
    for (unsigned i = 0; i < 32; i++) {
        blocks[i] = new_block(UNITS, false);
    }
    uint64_t share = root_used_units() / LOOSE_SHARE;
    for (unsigned i = 0; i < 32; i++) {
        free_block(blocks[i]);
    }
    assert_in_range(loose_units(), share - UNITS, share + UNITS);
}

// Whoever would have to wait for the pool keeps what it has.
static void a_busy_pool_is_left_alone(void **state) {
    (void)state;
    void *blocks[32];
    for (unsigned i = 0; i < 32; i++) {
        blocks[i] = new_block(UNITS, false);
    }
    (void)alarm(10); // whoever waited would wait for good
    atomic_store(&root.live.pool.lock, 1);
    for (unsigned i = 0; i < 32; i++) {
        free_block(blocks[i]);
    }
    atomic_store(&root.live.pool.lock, 0);
    (void)alarm(0);
    assert_int_equal(loose_units(), 32 * UNITS);
}

// The next block is taken from the top.
static void fill_holes(void) {
    arena_drain();
    while (root.live.pool.free_units > 0) {
        assert_int_not_equal(arena_take(1, 1, RUN_LARGE, false), 0);
    }
}

// Nothing is free behind the block.
static void fill_behind(const void *block) {
    uint32_t head = unit_of((uintptr_t)block);
    uint32_t next = head + run_length_of(run_load(head));
    while (next == atomic_load(&root.live.top) || run_kind_of(run_load(next)) == RUN_FREE) {
        assert_int_not_equal(arena_take(1, 1, RUN_LARGE, false), 0);
    }
}

// A block that grows does not have to move because what is behind it is loose.
static void grows_over_a_loose_run(void **state) {
    (void)state;
    fill_holes();
    void *whole = new_block(4 * UNITS, false);
    free_block(whole);
    arena_drain();
    void *block = new_block(UNITS, false);
    void *behind = new_block(UNITS, false);
    assert_ptr_equal(block, whole);
    assert_ptr_equal(behind, (char *)block + UNITS * UNIT_SIZE);
    free_block(behind);
    assert_int_equal(loose_units(), UNITS);
    struct block what = block_of(block, "realloc");
    assert_ptr_equal(large_resize(block, &what, 2 * UNITS * UNIT_SIZE), block);
    assert_int_equal(loose_units(), 0);
    free_block(block);
}

// A block grows over a long one, too.
static void grows_over_a_long_one(void **state) {
    (void)state;
    fill_holes();
    char *block = new_block(4 * UNITS, false);
    void *next = new_block(LOOSE_UNITS_MAX + 1, false);
    assert_ptr_equal(next, block + 4 * UNITS * UNIT_SIZE);
    fill_behind(next);
    free_block(next);
    assert_int_equal(run_kind_of(shape_of(next)), RUN_LOOSE);
    assert_true(arena_extend(unit_of((uintptr_t)block), 4 * UNITS + 1));
    assert_int_equal(loose_units(), 0);
    free_block(block);
}

// ---- recycled -----------------------------------------------------------------------------------

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
    root.live.watch |= WATCH_HARDEN;
    free_block(first);
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

// ---- growing a little at a time -----------------------------------------------------------------

#define GROWN ((size_t)40 * UNIT_SIZE)

static uint32_t units_of(const void *block) {
    return run_length_of(shape_of(block));
}

// A block that was moved to become so large, from something a little smaller.
static char *grown_block(void) {
    char *block = lucid_malloc(GROWN - UNIT_SIZE);
    assert_non_null(block);
    memset(block, 5, GROWN - UNIT_SIZE);
    fill_behind(block);
    char *grown = lucid_realloc(block, GROWN);
    assert_ptr_not_equal(grown, block);
    assert_int_equal(grown[GROWN - UNIT_SIZE - 1], 5);
    fill_behind(grown);
    return grown;
}

static void what_grows_a_little_has_a_spare_end(void **state) {
    (void)state;
    char *block = grown_block();
    assert_int_equal(units_of(block), 45);
    assert_int_equal(lucid_malloc_usable_size(block), GROWN);
    assert_ptr_equal(lucid_realloc(block, GROWN + 1), block);
    assert_int_equal(units_of(block), 45);
    assert_ptr_equal(lucid_realloc(block, GROWN + 5 * UNIT_SIZE), block);
    assert_int_equal(lucid_malloc_usable_size(block), GROWN + 5 * UNIT_SIZE);
    assert_int_equal(units_of(block), 45);
    lucid_free(block);
}

static void and_gives_it_up_when_it_shrinks(void **state) {
    (void)state;
    char *block = grown_block();
    assert_ptr_equal(lucid_realloc(block, GROWN - 1), block);
    assert_int_equal(units_of(block), 40);
    lucid_free(block);
}

static void what_doubles_has_none(void **state) {
    (void)state;
    char *block = lucid_malloc(GROWN / 2);
    fill_behind(block);
    char *grown = lucid_realloc(block, GROWN);
    assert_ptr_not_equal(grown, block);
    assert_int_equal(units_of(grown), 40);
    lucid_free(grown);
}

static void nor_has_what_a_region_has(void **state) {
    (void)state;
    lucid_heap *heap = lucid_heap_new("growing a little");
    char *block = lucid_heap_alloc(heap, GROWN - UNIT_SIZE);
    fill_behind(block);
    char *grown = lucid_heap_realloc(heap, block, GROWN);
    assert_ptr_not_equal(grown, block);
    assert_non_null(block_of(grown, "free").region);
    assert_int_equal(units_of(grown), 40);
    lucid_heap_destroy(heap);
}

static void nor_has_anything_hardened(void **state) {
    (void)state;
    void *pointer = new_block(39, false);
    struct block block = block_of(pointer, "realloc");
    assert_true(large_grows_on(&block, GROWN));
    root.live.watch |= WATCH_HARDEN;
    assert_false(large_grows_on(&block, GROWN));
    root.live.watch &= ~(uint32_t)WATCH_HARDEN;
    free_block(pointer);
}

static void nor_has_anything_with_a_limit(void **state) {
    (void)state;
    root.live.allowance.most = (uint64_t)1 << 40;
    char *block = grown_block();
    root.live.allowance.most = 0;
    assert_int_equal(units_of(block), 40);
    lucid_free(block);
}

// Each unit of a run tells how far behind the head it is, in 16 bits.
static void is_never_longer_than_its_units_can_tell(void **state) {
    (void)state;
    assert_null(large_new_run(RUN_BYTES_MAX + 1, BLOCK_ALIGN, false, NULL));
    assert_null(large_new_run(1, RUN_BYTES_MAX + 1, false, NULL));
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
        cmocka_unit_test(threads_have_more_put_there),
        cmocka_unit_test_setup_teardown(next_of_its_length_gets_it, use_much, use_no_more),
        cmocka_unit_test_setup_teardown(zeroed_one_is_zero, use_much, use_no_more),
        cmocka_unit_test_setup_teardown(aligned_one_is_aligned, use_much, use_no_more),
        cmocka_unit_test_setup_teardown(of_long_ones_the_last_is_kept, use_much, use_no_more),
        cmocka_unit_test_setup_teardown(a_long_one_is_zero_and_aligned, use_much, use_no_more),
        cmocka_unit_test_setup_teardown(grows_over_a_long_one, use_much, use_no_more),
        cmocka_unit_test_setup_teardown(hardened_ones_are_not_kept, use_much, use_no_more),
        cmocka_unit_test_setup_teardown(no_more_than_a_share_is_kept, use_much, use_no_more),
        cmocka_unit_test_setup_teardown(a_busy_pool_is_left_alone, use_much, use_no_more),
        cmocka_unit_test_setup_teardown(grows_over_a_loose_run, use_much, use_no_more),
        cmocka_unit_test(is_never_longer_than_its_units_can_tell),
        cmocka_unit_test(what_grows_a_little_has_a_spare_end),
        cmocka_unit_test(and_gives_it_up_when_it_shrinks),
        cmocka_unit_test(what_doubles_has_none),
        cmocka_unit_test(nor_has_what_a_region_has),
        cmocka_unit_test(nor_has_anything_hardened),
        cmocka_unit_test(nor_has_anything_with_a_limit),
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
