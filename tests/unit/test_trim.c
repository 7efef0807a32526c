// Giving memory back: free pages inside spans (trim.h) and free runs (release.h), seen through the
// kernel's eyes, with the blocks that live next to them untouched.
#include "trim.h"

#include "arena.h"
#include "bin.h"
#include "heap.h"
#include "huge.h"
#include "invariants.h"
#include "large.h"
#include "options.h"
#include "os/os.h"
#include "pool.h"
#include "release.h"
#include "setups.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define COUNT 20000u
#define KEPT_EACH 1000u
#define SIZE 128u

static unsigned char *blocks[COUNT];

static size_t resident_pages(uintptr_t start, size_t length) {
    size_t page = root.fixed.page_size;
    size_t pages = 0;
    for (size_t offset = 0; offset < length; offset += page) {
        unsigned char vector[PAGE_SIZE_MAX / 4096] = {0}; // a byte for each of the machine's pages
        assert_int_equal(mincore((void *)(start + offset), page, vector), 0);
        pages += memchr(vector, 1, sizeof(vector)) != NULL;
    }
    return pages;
}

static size_t resident_in_spans(void) {
    size_t pages = 0;
    for (uint32_t head = 1; head < root.live.top; head += run_length_of(run_load(head))) {
        if (run_kind_of(run_load(head)) == RUN_SPAN) {
            pages += resident_pages(unit_address(head), (size_t)run_length_of(run_load(head))
                                                            << UNIT_SHIFT);
        }
    }
    return pages;
}

static void fill_and_thin_out(void) {
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = lucid_malloc(SIZE);
        assert_non_null(blocks[i]);
        test_fill(blocks[i], SIZE);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        if (i % KEPT_EACH != 0) {
            lucid_free(blocks[i]);
        }
    }
    bin_empty_all(heap_mine(), "test"); // the bins' blocks go to their spans
}

static void check_kept(void) {
    for (unsigned i = 0; i < COUNT; i += KEPT_EACH) {
        assert_true(test_filled(blocks[i], blocks[i], SIZE, SIZE));
    }
}

static void free_the_kept(void) {
    for (unsigned i = 0; i < COUNT; i += KEPT_EACH) {
        lucid_free(blocks[i]);
    }
    bin_empty_all(heap_mine(), "test");
}

// A span as large as a page has no page to give while one of its blocks lives.
static void need_small_pages(void) {
    if (root.fixed.page_size == UNIT_SIZE) {
        skip();
    }
}

static void pages_inside_spans(void **state) {
    (void)state;
    need_small_pages();
    fill_and_thin_out();
    size_t before = resident_in_spans();
    uint64_t known = root.live.giving.trimmed_bytes;
    uint64_t given = trim_all();
    size_t after = resident_in_spans();
    // Every span is as good as empty: what remains is a page for each block that lives.
    assert_true(given > 0 && given % root.fixed.page_size == 0);
    assert_true(after <= COUNT / KEPT_EACH);
    assert_true((before - after) * root.fixed.page_size <= given);
    assert_int_equal(root.live.giving.trimmed_bytes, known + given);
    check_kept();
    invariants_check(false);
    assert_int_equal(trim_all(), 0); // there is nothing more to give
    // What was given back is used again.
    for (unsigned i = 0; i < COUNT; i++) {
        if (i % KEPT_EACH != 0) {
            blocks[i] = lucid_malloc(SIZE);
            assert_non_null(blocks[i]);
            test_fill(blocks[i], SIZE);
        }
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(test_filled(blocks[i], blocks[i], SIZE, SIZE));
        lucid_free(blocks[i]);
    }
    invariants_check(false);
}

// Each kept block is the last one of a word of its span's bitmap, with a free page before its own.
static void last_of_a_word(void **state) {
    (void)state;
    need_small_pages();
    size_t each = max_size(64, root.fixed.page_size / SIZE * 2);
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = lucid_malloc(SIZE);
        assert_non_null(blocks[i]);
        test_fill(blocks[i], SIZE);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        if ((uintptr_t)blocks[i] % UNIT_SIZE / SIZE % each != each - 1) {
            lucid_free(blocks[i]);
            blocks[i] = NULL;
        }
    }
    heap_verify();
    assert_true(trim_all() > 0);
    for (unsigned i = 0; i < COUNT; i++) {
        if (blocks[i] != NULL) {
            assert_true(test_filled(blocks[i], blocks[i], SIZE, SIZE));
            lucid_free(blocks[i]);
        }
    }
    heap_verify();
    invariants_check(false);
}

static void pass_ms(long ms) {
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

// The aged only: the first look notes what is there, a later one gives it.
static void aged_pages(void **state) {
    (void)state;
    need_small_pages();
    fill_and_thin_out();
    uint64_t known = root.live.giving.trimmed_bytes;
    assert_false(trim_aged(1000000));
    assert_false(trim_aged(1000000));
    assert_int_equal(root.live.giving.trimmed_bytes, known);
    pass_ms(60);
    assert_true(trim_aged(20));
    assert_true(root.live.giving.trimmed_bytes > known);
    assert_true(resident_in_spans() <= COUNT / KEPT_EACH);
    assert_true(trim_aged(20));
    check_kept();
    free_the_kept();
    invariants_check(false);
}

static uint32_t take(uint32_t units) {
    uint32_t head = arena_take(units, 1, RUN_LARGE, false);
    assert_int_not_equal(head, 0);
    memset((void *)unit_address(head), 0x77, (size_t)units << UNIT_SHIFT);
    run_at(head)->size = (uint64_t)units << UNIT_SHIFT;
    return head;
}

// What follows the run stays in use.
static uint32_t take_apart(uint32_t units) {
    uint32_t head = take(units);
    uint32_t behind = head + units;
    while (behind == atomic_load(&root.live.top) || run_kind_of(run_load(behind)) == RUN_FREE) {
        (void)take(1);
    }
    return head;
}

// Runs go to the kernel down to what is to be kept, and not before they are old enough.
static void free_runs(void **state) {
    (void)state;
    (void)release_dirty(0, 0);
    assert_int_equal(root.live.pool.dirty_units, 0);
    uint32_t large[3];
    for (unsigned i = 0; i < 3; i++) {
        large[i] = take_apart(100); // holes elsewhere are filled first
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_true(arena_free_large(large[i]));
    }
    assert_int_equal(root.live.pool.dirty_units, 300);
    assert_int_equal(release_dirty(0, 1000000), 0); // nothing is as old as that
    assert_int_equal(root.live.pool.dirty_units, 300);
    uint64_t purges = root.live.pool.purges;
    assert_int_equal(release_dirty(150, 0), 200); // whole runs, until 150 or fewer remain
    assert_int_equal(root.live.pool.dirty_units, 100);
    assert_int_equal(root.live.pool.purges, purges + 1);
    size_t resident = 0;
    for (unsigned i = 0; i < 3; i++) {
        resident += resident_pages(unit_address(large[i]), 100 * UNIT_SIZE);
    }
    assert_int_equal(resident, 100 * UNIT_SIZE / root.fixed.page_size);
    arena_check();
    (void)release_all();
    assert_int_equal(root.live.pool.dirty_units, 0);
    invariants_check(false);
}

#define ON_ITS_WAY ((size_t)8 << 20)

static void *bring_back(void *block) {
    (void)usleep(50000);
    lucid_free(block);
    release_ends();
    return NULL;
}

// As when the helper has a large piece of free memory with it while the kernel takes its pages.
static void what_is_given_back_is_waited_for(void **state) {
    (void)state;
    pthread_t other;
    void *block = lucid_malloc(ON_ITS_WAY);
    assert_non_null(block);
    (void)release_all();
    assert_int_equal(lucid_limit_set(root.live.allowance.taken + ON_ITS_WAY / 2), 0);
    release_begins();
    assert_int_equal(pthread_create(&other, NULL, bring_back, block), 0);
    void *again = lucid_malloc(ON_ITS_WAY);
    assert_non_null(again);
    assert_int_equal(pthread_join(other, NULL), 0);
    lucid_free(again);
    assert_int_equal(lucid_limit_set(0), 0);
    invariants_check(false);
}

// Of one long run, too, and nothing where less is free.
static void malloc_trim_leaves_as_much_as_it_is_told(void **state) {
    (void)state;
    (void)lucid_malloc_trim(0);
    assert_int_equal(root.live.pool.dirty_units, 0);
    uint32_t large = take_apart(300);
    assert_true(arena_free_large(large));
    assert_int_equal(lucid_malloc_trim((size_t)150 << UNIT_SHIFT), 1);
    assert_int_equal(root.live.pool.dirty_units, 150);
    assert_int_equal(resident_pages(unit_address(large), 300 * UNIT_SIZE),
                     150 * UNIT_SIZE / root.fixed.page_size);
    assert_int_equal(lucid_malloc_trim((size_t)200 << UNIT_SHIFT), 0);
    assert_int_equal(root.live.pool.dirty_units, 150);
    (void)release_all();
    invariants_check(false);
}

// One page that the kernel does not take keeps its own unit, and no other.
static void a_locked_page(void **state) {
    (void)state;
    (void)release_dirty(0, 0);
    uint32_t large[2] = {take_apart(100), take_apart(100)};
    void *page = (void *)(unit_address(large[1]) + 37 * UNIT_SIZE);
    // The sanitizers make nothing of mlock.
    if (mlock(page, 1) != 0 || os_purge(page, root.fixed.page_size)) {
        assert_true(arena_free_large(large[0]) && arena_free_large(large[1]));
        skip();
    }
    assert_true(arena_free_large(large[0]) && arena_free_large(large[1]));
    uint32_t refused = root.live.giving.refused;
    assert_int_equal(release_dirty(0, 0), 199);
    assert_int_equal(root.live.pool.dirty_units, 1);
    assert_int_equal(release_dirty(0, 0), 0); // it is not tried again at once
    assert_int_equal(root.live.giving.refused, refused);
    (void)munlock(page, 1);
    arena_check();
    run_at(pool_next(POOL_DIRTY, 0))->birth = (uint32_t)os_now_ms(); // as if that were long ago
    assert_int_equal(release_dirty(0, 0), 1);
    invariants_check(false);
}

#define PART (UNIT_SIZE <= 16384 ? 100u : 50u) // units; six of these are no mapping yet

static void use_large(uint32_t units) {
    void *block = large_new((size_t)units << UNIT_SHIFT, 1, false, NULL);
    assert_non_null(block);
    memset(block, 0x55, (size_t)units << UNIT_SHIFT);
    assert_true(arena_free_large(unit_of((uintptr_t)block)));
}

// Nothing goes for a block while the heap is small.
static void growth_of_a_small_heap(void **state) {
    (void)state;
    uint32_t hole = take_apart(PART);
    root.live.pool.most_touched = 0;
    assert_true(arena_free_large(hole));
    uint32_t known = root.live.pool.dirty_units;
    use_large(PART + 1);
    if (atomic_load(&root.live.top) >= GROWTH_HEAP_MIN >> UNIT_SHIFT) {
        skip(); // a stress build, where nearly no heap is small
    }
    assert_int_equal(root.live.pool.growth_units, 0);
    assert_true(root.live.pool.dirty_units >= known);
    (void)take(GROWTH_HEAP_MIN >> UNIT_SHIFT); // for what is tried next
    (void)release_all();
    invariants_check(false);
}

// A large block that fits into no hole makes holes clean as long as there would be more than ever.
static void growth(void **state) {
    (void)state;
    (void)release_dirty(0, 0);
    root.live.pool.most_touched = 0;
    uint32_t holes[2] = {take_apart(2 * PART), take_apart(PART)};
    assert_true(arena_free_large(holes[0]) && arena_free_large(holes[1]));
    uint32_t known = root.live.pool.dirty_units;
    use_large(4 * PART); // dirty itself at the end
    assert_true(known >= 3 * PART && root.live.pool.dirty_units >= 4 * PART);
    uint64_t share = atomic_load(&root.live.top) / GROWTH_SHARE;
    assert_true(root.live.pool.dirty_units <= 4 * PART + 2 * share); // of three parts, it stays
    assert_true(root.live.pool.most_touched < atomic_load(&root.live.top) - PART);
    arena_check();

    root.live.pool.most_touched = UINT64_MAX; // there was much more once
    assert_true(arena_free_large(take_apart(9 * PART / 2)));
    known = root.live.pool.dirty_units;
    use_large(5 * PART);
    assert_true(root.live.pool.dirty_units >= known);

    root.live.pool.most_touched = 0;
    uint64_t was = root.live.options.value[OPTION_PURGE];
    root.live.options.value[OPTION_PURGE] = 0;
    assert_true(arena_free_large(take_apart(9 * PART / 2)));
    use_large(6 * PART);
    assert_int_equal(root.live.pool.most_touched, 0);
    root.live.options.value[OPTION_PURGE] = was;
    (void)release_all();
    invariants_check(false);
}

// A dirty hole of two parts in a heap that never had more than what is in use. Returns its head.
static uint32_t hole_in_full_heap(void) {
    (void)release_dirty(0, 0);
    uint32_t hole = take_apart(2 * PART);
    root.live.pool.most_touched = atomic_load(&root.live.top) - root.live.pool.free_units;
    root.live.pool.growth_units = 0;
    assert_true(arena_free_large(hole));
    return hole;
}

// Of what goes for a block a share counts as used.
static void growth_counts(void **state) {
    (void)state;
    uint32_t hole = hole_in_full_heap();
    uint64_t used = root.live.pool.most_touched;
    use_large(2 * PART + 1);
    uint64_t went = root.live.pool.growth_units;
    assert_true(went > GROWTH_REGRET && went <= 2 * PART);
    // Huge pages go whole: up to one more than was wanted.
    bool huge = huge_covers_part(unit_address(hole), unit_address(hole + 2 * PART));
    uint64_t more = huge ? HUGE_PAGE_SIZE / UNIT_SIZE - 1 : 0;
    uint64_t least = used + 2 * PART + 1 - went + went / GROWTH_REGRET;
    assert_in_range(root.live.pool.most_touched, least, least + more);
    (void)release_all();
    invariants_check(false);
}

// Nothing goes for a block once a share of the heap went before.
static void growth_comes_to_an_end(void **state) {
    (void)state;
    (void)hole_in_full_heap();
    uint64_t used = root.live.pool.most_touched;
    uint64_t went = (used + 4 * PART + 1) / GROWTH_ENOUGH + 1;
    root.live.pool.growth_units = went;
    use_large(2 * PART + 1);
    assert_int_equal(root.live.pool.growth_units, went);
    assert_int_equal(root.live.pool.most_touched, used);
    (void)release_all();
    invariants_check(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth_of_a_small_heap), // while it is small
        cmocka_unit_test(pages_inside_spans),
        cmocka_unit_test(last_of_a_word),
        cmocka_unit_test(aged_pages),
        cmocka_unit_test(what_is_given_back_is_waited_for),
        cmocka_unit_test(free_runs),
        cmocka_unit_test(malloc_trim_leaves_as_much_as_it_is_told),
        cmocka_unit_test(growth),
        cmocka_unit_test(growth_counts),
        cmocka_unit_test(growth_comes_to_an_end),
        cmocka_unit_test(a_locked_page),
    };
    return cmocka_run_group_tests(tests, without_helper, NULL);
}
