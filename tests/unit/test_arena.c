// Runs and the pool under random operations, beside a shadow that knows which run is whose. After
// every few steps the tiling, the trees and all counts are verified.
#include "arena.h"
#include "init.h"
#include "invariants.h"
#include "os/os.h"
#include "release.h"
#include "root.h"
#include "testing.h"
#include "unit.h"

#define RUNS 400u

struct shadow {
    uint32_t head;
    uint32_t units;
    uint64_t tag; // written into the first and last word of the run
};

static struct shadow runs[RUNS];

static uint64_t *word_of(uint32_t head, uint32_t unit, bool last) {
    return (uint64_t *)(unit_address(head + unit) + (last ? UNIT_SIZE - 8 : 0));
}

static void tag_run(struct shadow *run, uint64_t tag) {
    run->tag = tag;
    *word_of(run->head, 0, false) = tag;
    *word_of(run->head, run->units - 1, true) = ~tag;
    run_at(run->head)->size = (uint64_t)run->units << UNIT_SHIFT;
}

static void check_tag(const struct shadow *run) {
    assert_int_equal(*word_of(run->head, 0, false), run->tag);
    assert_int_equal(*word_of(run->head, run->units - 1, true), ~run->tag);
    assert_int_equal(run_load(run->head), run_shape(RUN_LARGE, run->units));
}

static uint32_t random_units(uint64_t *random) {
    uint32_t roll = test_random(random) % 20;
    return 1 + test_random(random) % (roll < 15 ? 8 : roll < 19 ? 60 : 400);
}

static void take(struct shadow *run, uint64_t *random) {
    size_t alignment = test_random(random) % 4 == 0 ? UNIT_SIZE << test_random(random) % 6 : 16;
    bool zero = test_random(random) % 2 == 0;
    run->units = random_units(random);
    run->head = arena_take(run->units, alignment, RUN_LARGE, zero);
    assert_int_not_equal(run->head, 0);
    assert_true(unit_address(run->head) % alignment == 0);
    for (uint32_t i = 0; zero && i < run->units; i++) {
        assert_true(test_zero((void *)unit_address(run->head + i), UNIT_SIZE));
    }
    tag_run(run, ((uint64_t)test_random(random) << 32) + run->head);
}

static void give(struct shadow *run) {
    check_tag(run);
    assert_true(arena_free_large(run->head));
    assert_false(arena_free_large(run->head)); // the second time there is none
    run->head = 0;
}

static void resize(struct shadow *run, uint64_t *random) {
    uint32_t units = random_units(random);
    check_tag(run);
    if (units > run->units) {
        if (!arena_extend(run->head, units)) {
            check_tag(run);
            return;
        }
        assert_int_equal(*word_of(run->head, run->units - 1, true), ~run->tag);
    } else if (units < run->units) {
        arena_shrink(run->head, units);
    }
    run->units = units;
    assert_int_equal(*word_of(run->head, 0, false), run->tag);
    tag_run(run, run->tag + 1);
}

static void step(uint64_t *random) {
    struct shadow *run = &runs[test_random(random) % RUNS];
    uint32_t roll = test_random(random) % 100;
    if (run->head == 0) {
        take(run, random);
    } else if (roll < 45) {
        give(run);
    } else {
        resize(run, random);
    }
    if (roll == 99) {
        uint64_t keep = test_random(random) % 2000;
        (void)release_dirty(keep, 0);
        assert_true(root.live.pool.dirty_units <= keep);
    }
}

static void random_operations(void **state) {
    (void)state;
    uint64_t random = test_seed();
    assert_true(init_ready());
    for (unsigned i = 0; i < (LUCID_SLOWED ? 6000 : 20000); i++) {
        step(&random);
        if (i % 250 == 0) {
            invariants_check(false);
        }
    }
    for (unsigned i = 0; i < RUNS; i++) {
        if (runs[i].head != 0) {
            give(&runs[i]);
        }
    }
    invariants_check(false);
    // Everything is free again, but what the C library's own malloc took of the break.
    uint32_t foreign = 0;
    for (uint32_t head = 1; head < root.live.top; head += run_length_of(run_load(head))) {
        foreign += run_kind_of(run_load(head)) == RUN_FOREIGN ? run_length_of(run_load(head)) : 0;
    }
    assert_int_equal(root.live.pool.free_units + foreign, root.live.top - 1);
}

// Best fit, lowest address, dirty before clean.
static void order_of_reuse(void **state) {
    (void)state;
    uint32_t heads[9];
    static const uint32_t lengths[9] = {5, 1, 3, 1, 3, 1, 4, 1, 1};
    (void)release_dirty(0, 0);
    for (unsigned i = 0; i < 9; i++) {
        heads[i] = arena_take(lengths[i], 1, RUN_LARGE, false);
        run_at(heads[i])->size = 1;
        assert_true(i == 0 || heads[i] == heads[i - 1] + lengths[i - 1]);
    }
    for (unsigned i = 0; i < 8; i += 2) {
        assert_true(arena_free_large(heads[i]));
    }
    assert_int_equal(arena_take(3, 1, RUN_LARGE, false), heads[2]); // 3 fits better than 5 and 4
    assert_int_equal(arena_take(3, 1, RUN_LARGE, false), heads[4]);
    assert_int_equal(arena_take(3, 1, RUN_LARGE, false), heads[6]);
    assert_int_equal(arena_take(3, 1, RUN_LARGE, false), heads[0]);
    assert_int_equal(arena_take(1, 1, RUN_LARGE, false), heads[6] + 3); // not the clean rest
    arena_check();
}

// A run that is divided: each part counts its own dirty units.
static void dirty_of_the_parts(void **state) {
    (void)state;
    while (root.live.pool.free_units > 0) {
        assert_int_not_equal(arena_take(1, 1, RUN_LARGE, false), 0);
    }
    // Three dirty units, then five clean ones, then a used one: nothing else is free.
    uint32_t front;
    uint32_t back;
    do {
        front = arena_take(3, 1, RUN_LARGE, false);
        back = arena_take(5, 1, RUN_LARGE, false);
    } while (back != front + 3 || arena_take(1, 1, RUN_LARGE, false) != back + 5);
    assert_true(arena_free_large(back));
    (void)release_dirty(0, 0);
    assert_true(arena_free_large(front));
    assert_int_equal(root.live.pool.dirty_units, 3);
    uint64_t taken = atomic_load(&root.live.allowance.taken);
    assert_int_equal(arena_take(2, 1, RUN_LARGE, false), front);
    assert_int_equal(run_at(front)->dirty, 2);
    assert_int_equal(root.live.pool.dirty_units, 1);
    assert_int_equal(arena_take(4, 1, RUN_LARGE, false), front + 2);
    assert_int_equal(run_at(front + 2)->dirty, 1);
    assert_int_equal(root.live.pool.dirty_units, 0);
    // Dirty units were taken from the system before, clean ones are now.
    assert_int_equal(atomic_load(&root.live.allowance.taken), taken + 3 * UNIT_SIZE);
    arena_check();
}

// Twice the units of the least large block, half of which are dirty, and a used one behind them;
// nothing else is free.
static uint32_t half_dirty(bool back) {
    uint32_t half = (uint32_t)(GROWTH_MIN >> UNIT_SHIFT);
    (void)release_dirty(0, 0);
    while (root.live.pool.free_units > 0) {
        assert_int_not_equal(arena_take(1, 1, RUN_LARGE, false), 0);
    }
    uint32_t parts[2];
    do {
        parts[0] = arena_take(half, 1, RUN_LARGE, false);
        parts[1] = arena_take(half, 1, RUN_LARGE, false);
    } while (parts[1] != parts[0] + half || arena_take(1, 1, RUN_LARGE, false) == 0);
    assert_true(arena_free_large(parts[!back]));
    (void)release_dirty(0, 0);
    assert_true(arena_free_large(parts[back]));
    assert_int_equal(root.live.pool.dirty_units, half);
    return parts[0];
}

// What is clean of the place of a large block becomes resident.
static void large_blocks_at_the_dirtier_end(void **state) {
    (void)state;
    uint32_t half = (uint32_t)(GROWTH_MIN >> UNIT_SHIFT);
    uint32_t head = half_dirty(false);
    assert_int_equal(arena_take(half, 1, RUN_LARGE, false), head);
    head = half_dirty(true);
    assert_int_equal(arena_take(half, 1, RUN_LARGE, false), head + half);
    head = half_dirty(true);
    assert_int_equal(arena_take(half + 1, 1, RUN_LARGE, false), head + half - 1);
    head = half_dirty(true);
    assert_int_equal(arena_take(half - 1, 1, RUN_LARGE, false), head); // it is not large
    arena_check();
}

// What the kernel refuses to take back stays dirty, and calloc clears it.
static void purge_refused(void **state) {
    (void)state;
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip();
    }
    uint32_t head = arena_take(20, 1, RUN_LARGE, false);
    memset((void *)unit_address(head), 0xee, 20 * UNIT_SIZE);
    assert_true(arena_free_large(head));
    (void)os_inject(OS_PURGE, 1, true);
    uint32_t dirty = root.live.pool.dirty_units;
    (void)release_dirty(0, 0);
    (void)os_inject(OS_PURGE, 0, false);
    assert_int_equal(root.live.pool.dirty_units, dirty);
    uint32_t again = arena_take(20, 1, RUN_LARGE, true);
    assert_true(test_zero((void *)unit_address(again), 20 * UNIT_SIZE));
    run_at(again)->size = 20 * UNIT_SIZE;
    assert_true(arena_free_large(again));
    arena_check();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),  cmocka_unit_test(order_of_reuse),
        cmocka_unit_test(dirty_of_the_parts), cmocka_unit_test(large_blocks_at_the_dirtier_end),
        cmocka_unit_test(purge_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
