// A span's life as the arena sees it: what it carved is dirty afterwards, what it was made of stays
// so, and no block lies beyond its end. For every class.
#include "span.h"

#include "arena.h"
#include "release.h"
#include "root.h"
#include "setups.h"
#include "spanstate.h"
#include "testing.h"
#include "unit.h"

static uint32_t units_of(unsigned class) {
    return sizeclass_table[class].units;
}

static uint32_t dirty_units(uint32_t head, uint32_t units) {
    uint32_t dirty = 0;
    for (uint32_t i = 0; i < units; i++) {
        dirty += root.fixed.units[head + i].back == UNIT_DIRTY;
    }
    return dirty;
}

static void use_all_free_runs(void) {
    while (root.live.pool.free_units > 0) {
        assert_int_not_equal(arena_take(1, 1, RUN_LARGE, false), 0);
    }
}

// The only free run: `units` long, with used ones before and behind it.
static uint32_t place_for_span(uint32_t units, bool dirty) {
    uint32_t head;
    uint32_t behind;
    do {
        use_all_free_runs();
        head = arena_take(units, 1, RUN_LARGE, false);
        behind = arena_take(1, 1, RUN_LARGE, false);
        assert_true(head != 0 && behind != 0);
    } while (behind != head + units || root.live.pool.free_units > 0);
    if (dirty) {
        memset((void *)unit_address(head), 0xd1, units * UNIT_SIZE);
    }
    assert_true(arena_free_large(head));
    if (!dirty) {
        (void)release_dirty(0, 0);
    }
    assert_int_equal(root.live.pool.free_units, units);
    assert_int_equal(root.live.pool.dirty_units, dirty ? units : 0);
    return head;
}

// What calloc would be given of these units is zero.
static void check_zero(uint32_t head, uint32_t units) {
    assert_int_equal(arena_take(units, 1, RUN_LARGE, true), head);
    assert_true(test_zero((void *)unit_address(head), units * UNIT_SIZE));
    assert_true(arena_free_large(head));
}

static uint32_t span_of(unsigned class, bool dirty) {
    uint32_t place = place_for_span(units_of(class), dirty);
    uint32_t head = span_new_for(class, NULL);
    assert_int_equal(head, place);
    return head;
}

static void touched_units_are_dirty(void **state) {
    (void)state;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        uint32_t head = span_of(class, false);
        size_t size = sizeclass_size(class);
        void *blocks[2];
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(span_take(head, 1, &blocks[i]), 1);
            memset(blocks[i], 0xb1, size);
        }
        (void)span_give_all(class, blocks, 2, "free");
        span_release(head); // it is empty, so it ends
        arena_drain(0);
        assert_int_equal(dirty_units(head, units_of(class)),
                         (2 * size + UNIT_SIZE - 1) / UNIT_SIZE);
        check_zero(head, units_of(class));
        arena_check();
    }
}

static void life_before_counts(void **state) {
    (void)state;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        uint32_t head = span_of(class, true);
        void *block;
        assert_int_equal(span_take(head, 1, &block), 1);
        (void)span_give_all(class, &block, 1, "free");
        span_release(head);
        arena_drain(0);
        assert_int_equal(dirty_units(head, units_of(class)), units_of(class));
        check_zero(head, units_of(class));
        arena_check();
    }
}

// Dirty and clean spans carve differently; neither goes beyond its end.
static void carve_all(unsigned class, bool dirty) {
    static void *blocks[SPAN_BLOCKS_MAX + 1];
    uint32_t head = span_of(class, dirty);
    unsigned taken = 0;
    for (unsigned more = 1; more > 0 && taken <= sizeclass_table[class].blocks; taken += more) {
        more = span_take(head, SPAN_BLOCKS_MAX + 1 - taken, blocks + taken);
    }
    assert_int_equal(taken, sizeclass_table[class].blocks);
    uintptr_t end = unit_address(head + units_of(class));
    for (unsigned i = 0; i < taken; i++) {
        assert_true((uintptr_t)blocks[i] + sizeclass_size(class) <= end);
    }
    (void)span_give_all(class, blocks, taken, "free");
    span_release(head);
    arena_drain(0);
    arena_check();
}

static void no_block_beyond_the_end(void **state) {
    (void)state;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        carve_all(class, false);
        carve_all(class, true);
    }
}

// Blocks in a row, upwards or downwards, are given together; the array goes on behind those given.
static void give_row(uint32_t head, unsigned from, unsigned count, bool down) {
    enum { MORE = 3, CLASS = 1 };
    void *blocks[80 + MORE];
    void *again[80];
    size_t size = sizeclass_size(CLASS);
    for (unsigned i = 0; i < count + MORE; i++) {
        unsigned index = down ? from - i : from + i;
        blocks[i] = (void *)(unit_address(head) + index * size);
    }
    unsigned lowest = down ? from + 1 - count : from;
    (void)span_give_all(CLASS, blocks, count, "free");
    for (unsigned i = 0; i < sizeclass_table[CLASS].blocks; i++) {
        assert_int_equal(span_is_free(run_at(head), i), i >= lowest && i < lowest + count);
    }
    assert_int_equal(span_count(run_at(head)->state), count);
    assert_int_equal(span_take(head, count, again), count);
}

static void rows_end_where_they_should(void **state) {
    (void)state;
    static void *blocks[SPAN_BLOCKS_MAX];
    unsigned counts[] = {1, 2, 3, 63, 64, 65, 80};
    uint32_t head = span_of(1, true);
    unsigned all = sizeclass_table[1].blocks;
    assert_int_equal(span_take(head, all, blocks), all);
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (unsigned from = 256; from < 256 + 64; from++) {
            give_row(head, from, counts[i], false);
            give_row(head, from, counts[i], true);
        }
        give_row(head, all - counts[i], counts[i], false);
        give_row(head, counts[i] - 1, counts[i], true);
    }
    (void)span_give_all(1, blocks, all, "free");
    span_release(head);
    arena_drain(0);
    arena_check();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(touched_units_are_dirty),
        cmocka_unit_test(rows_end_where_they_should),
        cmocka_unit_test(life_before_counts),
        cmocka_unit_test(no_block_beyond_the_end),
    };
    return cmocka_run_group_tests(tests, without_helper, NULL);
}
