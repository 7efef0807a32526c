// The pool by itself, beside a shadow that searches a plain list: inserting, removing, best fit and
// age, on the records of units that lie far behind everything else in the arena.
#include "pool.h"

#include "arena.h"
#include "init.h"
#include "os/os.h"
#include "root.h"
#include "testing.h"
#include "unit.h"

#define SLOTS 150u
// Lengths of shelves of their own and of shared ones. A run lies in its slot and leaves the last
// unit free: none are neighbours.
#define SLOT_UNITS 40u

struct shadow {
    uint32_t head; // 0: not in the pool
    uint32_t length;
    uint32_t dirty;
    uint32_t birth;
};

// Lone units so far apart: 144 is a Fibonacci number, and multiples of it by the golden ratio
// hardly turn, so that a hash made of that product alone has them in order.
#define FAR 144u
#define FAR_COUNT 200u

static struct shadow runs[SLOTS];
static uint32_t field; // the first unit of all slots

static int begin(void **state) {
    (void)state;
    if (!init_ready()) {
        return -1;
    }
    field = arena_take(FAR * FAR_COUNT, 1, RUN_BUSY, false); // the slots need less
    os_lock(&root.live.pool.lock);
    pool_reset(); // what the arena has of its own is not wanted here
    return field != 0 ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    pool_reset();
    os_unlock(&root.live.pool.lock);
    return 0;
}

static void insert(unsigned slot, uint32_t first, uint32_t length, uint32_t dirty, uint32_t birth) {
    struct shadow *run = &runs[slot];
    *run = (struct shadow){field + slot * SLOT_UNITS + first, length, dirty, birth};
    run_at(run->head)->dirty = dirty;
    run_at(run->head)->birth = birth;
    run_store(run->head, RUN_FREE, length);
    pool_insert(run->head);
}

static void forget(struct shadow *run) {
    run_store(run->head, RUN_NONE, 0);
    run->head = 0;
}

static bool is_better(const struct shadow *a, const struct shadow *b) {
    if ((a->dirty != 0) != (b->dirty != 0)) {
        return a->dirty != 0;
    }
    return a->length != b->length ? a->length < b->length : a->head < b->head;
}

// Dirty before clean, then the shortest that suffices, then the lowest.
static struct shadow *best_fit(uint32_t units) {
    struct shadow *best = NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (runs[i].head != 0 && runs[i].length >= units &&
            (best == NULL || is_better(&runs[i], best))) {
            best = &runs[i];
        }
    }
    return best;
}

static uint32_t count_tree(uint32_t node, enum pool_side side, unsigned shelf) {
    if (node == 0) {
        return 0;
    }
    const struct run *run = run_at(node);
    const struct shadow *shadow = &runs[(node - field) / SLOT_UNITS];
    assert_int_equal(shadow->head, node);
    assert_int_equal(shadow->dirty != 0, side == POOL_DIRTY);
    assert_int_equal(pool_shelf_of(shadow->length), shelf);
    return 1 + count_tree(run->left, side, shelf) + count_tree(run->right, side, shelf);
}

// By its shelves, and one after the other from the longest down.
static uint32_t count_side(enum pool_side side) {
    const uint32_t *shelves = root.fixed.shelves[side];
    uint32_t count = 0;
    for (unsigned shelf = 0; shelf < POOL_SHELVES; shelf++) {
        assert_int_equal(root.live.pool.filled[side] >> shelf & 1, shelves[shelf] != 0);
        count += count_tree(shelves[shelf], side, shelf);
    }
    uint32_t found = 0;
    uint64_t before = UINT64_MAX;
    for (uint32_t head = pool_next(side, 0); head != 0; head = pool_next(side, head), found++) {
        uint64_t rank = (uint64_t)run_length_of(run_load(head)) << 32 | head;
        assert_true(rank < before);
        before = rank;
    }
    assert_int_equal(found, count);
    return count;
}

static uint32_t depth(uint32_t node) {
    if (node == 0) {
        return 0;
    }
    uint32_t left = depth(run_at(node)->left);
    uint32_t right = depth(run_at(node)->right);
    return 1 + (left > right ? left : right);
}

static void compare(void) {
    uint32_t count = 0;
    uint32_t units = 0;
    uint32_t dirty = 0;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (runs[i].head != 0) {
            count++;
            units += runs[i].length;
            dirty += runs[i].dirty;
            assert_int_equal(pool_run_before(runs[i].head + runs[i].length), runs[i].head);
            assert_int_equal(pool_run_before(runs[i].head), 0);
        }
    }
    assert_int_equal(root.live.pool.free_units, units);
    assert_int_equal(root.live.pool.dirty_units, dirty);
    assert_int_equal(count_side(POOL_CLEAN) + count_side(POOL_DIRTY), count);
}

// A longer run never lies on an earlier shelf, and none is left out.
static void shelves_are_in_order(void **state) {
    (void)state;
    unsigned shelf = pool_shelf_of(1);
    for (uint32_t length = 2; length <= 1u << 17; length++) {
        unsigned next = pool_shelf_of(length);
        assert_in_range(next, shelf, shelf + 1);
        assert_true(length > POOL_SHELVES_EXACT || next == shelf + 1);
        shelf = next;
    }
    assert_int_equal(shelf, POOL_SHELVES - 1);
    assert_int_equal(pool_shelf_of(UINT32_MAX), POOL_SHELVES - 1);
}

static void step(uint64_t *random) {
    unsigned slot = test_random(random) % SLOTS;
    uint32_t roll = test_random(random) % 100;
    if (roll < 20) {
        uint32_t units = 1 + test_random(random) % SLOT_UNITS;
        struct shadow *best = best_fit(units);
        enum pool_side side = best != NULL && best->dirty == 0 ? POOL_CLEAN : POOL_DIRTY;
        assert_int_equal(pool_take(side, units), best != NULL ? best->head : 0);
        if (best != NULL) {
            forget(best);
        }
    } else if (runs[slot].head != 0) {
        pool_remove(runs[slot].head);
        forget(&runs[slot]);
    } else {
        uint32_t first = test_random(random) % 3;
        uint32_t length = 1 + test_random(random) % (SLOT_UNITS - 1 - first);
        uint32_t dirty = roll < 60 ? 0 : test_random(random) % (length + 1);
        insert(slot, first, length, dirty, test_random(random) % 1000);
    }
}

static void agrees_with_a_list(void **state) {
    (void)state;
    uint64_t random = test_seed();
    for (unsigned i = 0; i < 40000; i++) {
        step(&random);
        if (i % 100 == 0) {
            compare();
        }
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        if (runs[i].head != 0) {
            pool_remove(runs[i].head);
            forget(&runs[i]);
        }
    }
    compare();
}

// Runs of one length come and go in the order of their addresses: the worst case of a plain tree.
static void stays_shallow(void **state) {
    (void)state;
    for (unsigned i = 0; i < SLOTS; i++) {
        insert(i, 0, 3, 3, 0);
    }
    assert_true(depth(root.fixed.shelves[POOL_DIRTY][pool_shelf_of(3)]) < SLOTS / 6);
    for (unsigned i = 0; i < SLOTS; i++) { // all alike: the lowest address comes first
        assert_int_equal(pool_take(POOL_DIRTY, 2), runs[i].head);
        forget(&runs[i]);
    }
    assert_int_equal(pool_take(POOL_DIRTY, 1), 0);
}

static uint32_t longest_aged(uint32_t limit) {
    const struct shadow *best = NULL;
    for (unsigned i = 0; i < SLOTS; i++) {
        const struct shadow *run = &runs[i];
        bool fits = run->head != 0 && run->dirty != 0 && (int32_t)(run->birth - limit) <= 0;
        if (fits && (best == NULL || run->length > best->length ||
                     (run->length == best->length && run->head > best->head))) {
            best = run;
        }
    }
    return best != NULL ? best->head : 0;
}

// Ages are the low half of a clock, which wraps around every seven weeks: `start` is shortly
// before that, at it, and elsewhere.
static void finds_the_aged(void **state) {
    (void)state;
    uint64_t random = test_seed();
    static const uint32_t starts[] = {0, 5000, UINT32_MAX - 500, UINT32_MAX, 0x7fffff00};
    for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            uint32_t length = 1 + test_random(&random) % (SLOT_UNITS - 1);
            insert(slot, 0, length, slot % 4 == 0 ? 0 : length,
                   starts[i] + test_random(&random) % 1000);
        }
        for (uint32_t age = 0; age <= 1000; age += 50) {
            uint32_t limit = starts[i] + age;
            assert_int_equal(pool_aged_dirty(limit, SLOTS), longest_aged(limit));
        }
        assert_int_equal(pool_aged_dirty(starts[i] - 1, SLOTS), 0);
        assert_int_equal(pool_aged_dirty(starts[i] + 1000, 0), 0); // no look, no find
        pool_reset();
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            forget(&runs[slot]);
        }
    }
}

// A stale number in the record in front is not believed unless the shapes agree.
static void believes_shapes_only(void **state) {
    (void)state;
    insert(0, 0, 5, 0, 0);
    uint32_t head = runs[0].head;
    assert_int_equal(pool_run_before(head + 5), head);
    assert_int_equal(pool_run_before(head + 4), 0);
    pool_remove(head);
    run_store(head, RUN_LARGE, 5);
    assert_int_equal(pool_run_before(head + 5), 0);
    run_store(head, RUN_FREE, 4);
    assert_int_equal(pool_run_before(head + 5), 0);
    run_store(head + 9, RUN_FREE, UINT32_MAX - 3); // behind the unit it speaks of, and it wraps
    run_at(head + 4)->prev = head + 9;
    assert_int_equal(pool_run_before(head + 5), 0);
    assert_int_equal(pool_run_before(1), 0); // unit 0 is nobody's
    run_store(head + 9, RUN_NONE, 0);
    forget(&runs[0]);
}

static void stays_shallow_at_any_distance(void **state) {
    (void)state;
    for (uint32_t i = 0; i < FAR_COUNT; i++) {
        uint32_t head = field + i * FAR;
        run_at(head)->dirty = 1;
        run_at(head)->birth = 0;
        run_store(head, RUN_FREE, 1);
        pool_insert(head);
    }
    assert_true(depth(root.fixed.shelves[POOL_DIRTY][pool_shelf_of(1)]) < FAR_COUNT / 4);
    for (uint32_t i = 0; i < FAR_COUNT; i++) {
        assert_int_equal(pool_take(POOL_DIRTY, 1), field + i * FAR);
        run_store(field + i * FAR, RUN_NONE, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shelves_are_in_order), cmocka_unit_test(agrees_with_a_list),
        cmocka_unit_test(stays_shallow),        cmocka_unit_test(stays_shallow_at_any_distance),
        cmocka_unit_test(finds_the_aged),       cmocka_unit_test(believes_shapes_only),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
