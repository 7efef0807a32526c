// Which zeroed blocks are put there at once: those that would cost two faults for each page, up to
// a size that is larger in a process with threads. And what of a large block that is freed stays
// with the thread's lane, for its next one of that length, and which blocks have a spare end.
#include "large.h"

#include "arena.h"
#include "loose.h"
#include "root.h"
#include "setups.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>
#include <pthread.h>
#include <string.h>

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
    arena_drain(0);
    in_use = large_new(4 * UNITS * LOOSE_SHARE * UNIT_SIZE, BLOCK_ALIGN, false, NULL);
    return in_use != NULL ? 0 : -1;
}

static int use_no_more(void **state) {
    (void)state;
    free_block(in_use);
    arena_drain(0);
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
    arena_drain(0);
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
    arena_drain(0);
    while (root.live.pool.free_units > 0) {
        assert_int_not_equal(arena_take(1, 1, RUN_LARGE, false), 0);
    }
}

// A block that grows does not have to move because what is behind it is loose.
static void grows_over_a_loose_run(void **state) {
    (void)state;
    fill_holes();
    void *whole = new_block(4 * UNITS, false);
    free_block(whole);
    arena_drain(0);
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

// ---- counted ------------------------------------------------------------------------------------

static void *make_without_heap(void *argument) {
    (void)argument;
    lucid_free(large_new(POPULATE_ZEROED_MAX, BLOCK_ALIGN, false, NULL));
    return heap_mine() == heap_of_nobody() ? NULL : argument;
}

// Runs and mappings count in the heap of their thread, or for all threads without one.
static void are_counted(void **state) {
    (void)state;
    lucid_free(lucid_malloc(1)); // a heap
    uint64_t before = heap_mine()->counters.larges;
    uint64_t of_nobody = atomic_load(&root.live.larges);
    lucid_free(large_new(POPULATE_ZEROED_MAX, BLOCK_ALIGN, false, NULL));
    lucid_free(large_new_mapping(RECYCLED_MAX + 1, BLOCK_ALIGN, false, NULL));
    assert_null(large_new(SIZE_MAX / 4, BLOCK_ALIGN, false, NULL));
    assert_int_equal(heap_mine()->counters.larges, before + 2);
    assert_int_equal(atomic_load(&root.live.larges), of_nobody);
    pthread_t thread;
    void *had_heap = NULL;
    assert_int_equal(pthread_create(&thread, NULL, make_without_heap, &barrier), 0);
    (void)pthread_join(thread, &had_heap);
    if (had_heap == NULL) {
        assert_int_equal(atomic_load(&root.live.larges), of_nobody + 1);
    }
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
        cmocka_unit_test(are_counted),
    };
    return cmocka_run_group_tests(tests, without_helper, NULL);
}
