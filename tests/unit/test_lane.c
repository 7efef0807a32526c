// Which memory a thread gets: its own lane's spans, then its loose runs, then other lanes' spans,
// then memory that was used before, and clean memory last.
#include "lane.h"

#include "arena.h"
#include "bin.h"
#include "heap.h"
#include "loose.h"
#include "release.h"
#include "root.h"
#include "setups.h"
#include "span.h"
#include "testing.h"
#include "unit.h"

#include <time.h>

#define PLENTY 16u // bytes; a class of which a span holds many blocks
#define RARE 80u   // of which no thread has any

static int begin(void **state) {
    int failed = without_helper(state);
    root.live.heap_count = 3; // as if so many threads had been there
    return failed;
}

// No free run, dirty or clean, and no loose one.
static int use_all(void **state) {
    (void)state;
    arena_drain();
    while (root.live.pool.free_units > 0) {
        assert_int_not_equal(arena_take(1, 1, RUN_LARGE, false), 0);
    }
    return 0;
}

// A span of the lane of which one block is out, listed.
static uint32_t listed_span_for(unsigned class, unsigned lane, bool shares, void **block) {
    uint32_t head = span_acquire(class, lane, shares);
    assert_int_not_equal(head, 0);
    assert_int_equal(span_take(head, 1, block), 1);
    span_release(head);
    return head;
}

static uint32_t listed_span(unsigned class, unsigned lane, void **block) {
    return listed_span_for(class, lane, false, block);
}

static void give_block(unsigned class, void *block) {
    (void)span_give_all(class, &block, 1, "free");
}

static void own_list_first(void **state) {
    (void)state;
    unsigned class = sizeclass_of(PLENTY);
    void *blocks[3];
    uint32_t first = span_acquire(class, 0, false);
    assert_int_equal(span_take(first, 1, &blocks[0]), 1);
    uint32_t second = listed_span(class, 1, &blocks[1]); // the first is held meanwhile
    span_release(first);
    assert_int_not_equal(first, second);
    assert_int_equal(run_at(first)->lane, 0);
    assert_int_equal(run_at(second)->lane, 1);
    assert_int_equal(listed_span(class, 1, &blocks[2]), second);
    assert_int_equal(lane_spans(0, class) + lane_spans(1, class), 2);
    give_block(class, blocks[0]);
    give_block(class, blocks[1]);
    give_block(class, blocks[2]);
    assert_int_equal(lane_spans(0, class) + lane_spans(1, class), 0);
}

static void others_before_new_spans(void **state) {
    (void)state;
    unsigned class = sizeclass_of(PLENTY);
    void *blocks[2];
    uint32_t used = arena_take(1, 1, RUN_LARGE, false);
    uint32_t head = listed_span(class, 0, &blocks[0]);
    assert_true(arena_free_large(used));
    assert_int_equal(listed_span(class, 2, &blocks[1]), head);
    assert_int_equal(run_at(head)->lane, 2);
    assert_int_equal(lane_spans(0, class), 0);
    assert_int_equal(lane_spans(2, class), 1);
    give_block(class, blocks[0]);
    give_block(class, blocks[1]);
}

// What a lane's span leaves serves the lane's next one of the same length, of whatever class.
static void loose_runs_stay_with_their_lane(void **state) {
    (void)state;
    unsigned class = sizeclass_of(PLENTY);
    unsigned other = sizeclass_of(PLENTY * 3);
    void *blocks[2];
    uint32_t first = listed_span(class, 0, &blocks[0]);
    uint32_t second = listed_span(other, 1, &blocks[1]);
    give_block(class, blocks[0]);
    give_block(other, blocks[1]);
    assert_int_equal(run_kind_of(run_load(first)), RUN_LOOSE);
    assert_int_equal(loose_units(), 2 * sizeclass_table[class].units);
    assert_int_equal(listed_span(class, 1, &blocks[1]), second);
    assert_int_equal(listed_span(other, 0, &blocks[0]), first);
    assert_int_equal(loose_units(), 0);
    give_block(other, blocks[0]);
    give_block(class, blocks[1]);
}

// A loose run comes before other lanes' spans, unless the thread shares.
static void own_loose_runs_before_others_spans(void **state) {
    (void)state;
    unsigned class = sizeclass_of(PLENTY);
    unsigned other = sizeclass_of(PLENTY * 3);
    void *blocks[4];
    uint32_t listed = listed_span(class, 0, &blocks[0]);
    uint32_t loose = listed_span(other, 1, &blocks[1]);
    give_block(other, blocks[1]);
    assert_int_not_equal(loose, listed);
    assert_int_equal(listed_span_for(class, 1, true, &blocks[1]), listed);
    assert_int_equal(listed_span_for(class, 0, true, &blocks[2]), listed); // back to its lane
    assert_int_equal(listed_span(class, 1, &blocks[3]), loose);
    for (unsigned i = 0; i < 4; i++) {
        give_block(class, blocks[i]);
    }
}

// A young thread uses other lanes' spans up, a settled one its lane's loose runs.
static void young_threads_share(void **state) {
    bool young = *(bool *)*state;
    unsigned class = sizeclass_of(RARE);
    void *blocks[2];
    struct heap *heap = heap_get();
    uint32_t other_lane = (heap->lane + 1) % root_lanes();
    uint32_t listed = listed_span(class, other_lane, &blocks[0]);
    uint32_t loose = listed_span(sizeclass_of(RARE * 3), heap->lane, &blocks[1]);
    give_block(sizeclass_of(RARE * 3), blocks[1]);
    assert_int_not_equal(loose, listed);
    heap->young_until = heap->events + (young ? YOUNG_EVENTS : 0);
    blocks[1] = bin_refill(heap, class);
    assert_non_null(blocks[1]);
    assert_int_equal(unit_of((uintptr_t)blocks[1]), young ? listed : loose);
    give_block(class, blocks[0]);
    give_block(class, blocks[1]);
    bin_empty_all(heap, "free");
}

static void other_lanes_loose_runs_before_clean_memory(void **state) {
    (void)state;
    unsigned class = sizeclass_of(PLENTY);
    uint32_t units = sizeclass_table[class].units;
    void *blocks[2];
    uint32_t first = listed_span(class, 0, &blocks[0]);
    uint32_t second = listed_span(sizeclass_of(PLENTY * 3), 0, &blocks[1]);
    give_block(class, blocks[0]);
    give_block(sizeclass_of(PLENTY * 3), blocks[1]);
    assert_int_equal(listed_span(class, 2, &blocks[0]), second); // the last that was given
    assert_int_equal(root.live.lanes[0].loose.units, 0);
    assert_int_equal(root.live.lanes[2].loose.units, units); // it came along
    give_block(class, blocks[0]);
    assert_int_equal(run_kind_of(run_load(first)), RUN_LOOSE);
    assert_int_equal(loose_units(), 2 * units);
}

// Loose runs side by side become one free run for a larger block, before the arena grows.
static void loose_runs_before_clean_memory(void **state) {
    (void)state;
    unsigned class = sizeclass_of(PLENTY);
    uint32_t units = sizeclass_table[class].units;
    uint32_t run = arena_take(2 * units, 1, RUN_BUSY, false);
    arena_give(run, 2 * units);
    void *block;
    assert_int_equal(listed_span(class, 0, &block), run);
    void *rest;
    assert_int_equal(listed_span(sizeclass_of(PLENTY * 3), 1, &rest), run + units);
    give_block(class, block);
    give_block(sizeclass_of(PLENTY * 3), rest);
    assert_int_equal(loose_units(), 2 * units);
    assert_int_equal(arena_take(2 * units, 1, RUN_LARGE, false), run);
    assert_int_equal(loose_units(), 0);
    assert_true(arena_free_large(run));
    arena_check();
}

static void loose_runs_are_given_back(void **state) {
    (void)state;
    unsigned class = sizeclass_of(PLENTY);
    void *block;
    (void)listed_span(class, 1, &block);
    give_block(class, block);
    assert_int_equal(loose_units(), sizeclass_table[class].units);
    assert_true(release_possible() >= loose_units());
    (void)release_dirty(0, 0);
    assert_int_equal(release_possible(), 0);
    arena_check();
}

#define AGE_MS 40u
#define LONG_MS 100000u

// A look at what is free makes free runs of those loose ones only that it found loose the last time
// too: one that comes and goes stays where its next block finds it.
static void loose_runs_in_use_stay(void **state) {
    (void)state;
    unsigned class = sizeclass_of(PLENTY);
    uint32_t units = sizeclass_table[class].units;
    void *blocks[2];
    (void)listed_span(class, 0, &blocks[0]);
    (void)listed_span(sizeclass_of(PLENTY * 3), 0, &blocks[1]);
    give_block(class, blocks[0]);
    give_block(sizeclass_of(PLENTY * 3), blocks[1]);
    (void)release_dirty(0, LONG_MS);
    assert_int_equal(loose_units(), 2 * units);
    uint32_t used = listed_span(class, 0, &blocks[0]);
    give_block(class, blocks[0]);
    (void)release_dirty(0, LONG_MS);
    assert_int_equal(loose_units(), units);
    assert_int_equal(run_kind_of(run_load(used)), RUN_LOOSE);
    (void)release_dirty(0, LONG_MS);
    assert_int_equal(loose_units(), 0);
    assert_int_equal(release_possible(), 2 * units); // too young to go
    arena_check();
}

static void long_loose_runs_in_use_stay(void **state) {
    (void)state;
    uint32_t units = LOOSE_UNITS_MAX + 1;
    uint32_t large = arena_take(units, 1, RUN_LARGE, false);
    assert_true(arena_keep_large(large, 1));
    (void)release_dirty(0, LONG_MS);
    assert_int_equal(loose_units_long(1), units);
    (void)release_dirty(0, LONG_MS);
    assert_int_equal(loose_units(), 0);
    arena_check();
}

// Their age begins with the look that first found them loose, not with the one that
// makes them free: they go as early as others.
static void loose_runs_are_as_old_as_the_look_that_found_them(void **state) {
    (void)state;
    void *block;
    (void)listed_span(sizeclass_of(PLENTY), 1, &block);
    give_block(sizeclass_of(PLENTY), block);
    (void)release_dirty(0, AGE_MS);
    assert_int_not_equal(loose_units(), 0);
    struct timespec pause = {.tv_nsec = 2 * AGE_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
    (void)release_dirty(0, AGE_MS);
    assert_int_equal(release_possible(), 0);
}

int main(void) {
    static bool yes = true; // young
    static bool no = false;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(own_list_first, use_all),
        cmocka_unit_test_setup(others_before_new_spans, use_all),
        cmocka_unit_test_setup(loose_runs_stay_with_their_lane, use_all),
        cmocka_unit_test_setup(own_loose_runs_before_others_spans, use_all),
        cmocka_unit_test_prestate_setup_teardown(young_threads_share, use_all, NULL, &yes),
        cmocka_unit_test_prestate_setup_teardown(young_threads_share, use_all, NULL, &no),
        cmocka_unit_test_setup(other_lanes_loose_runs_before_clean_memory, use_all),
        cmocka_unit_test_setup(loose_runs_before_clean_memory, use_all),
        cmocka_unit_test_setup(loose_runs_are_given_back, use_all),
        cmocka_unit_test_setup(loose_runs_in_use_stay, use_all),
        cmocka_unit_test_setup(long_loose_runs_in_use_stay, use_all),
        cmocka_unit_test_setup(loose_runs_are_as_old_as_the_look_that_found_them, use_all),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
