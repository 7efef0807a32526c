// How large a bin may become: small blocks by the byte, large ones by what the thread uses, and by
// how much room there is for those that go on running empty and full.
#include "bin.h"

#include "binsize.h"
#include "root.h"
#include "setups.h"
#include "singlestep.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>

#define MUCH (BIN_BYTES_MAX * BIN_SHARE * 2)
#define BURST 48u
#define LONG_BURST 140u
#define BURSTS 12u
#define CLASSES 30u
#define MANY_BURSTS (BIN_STREAK * 12)

static unsigned capacity_now(size_t size) {
    return heap_mine()->capacity[sizeclass_of(size)];
}

static void make_bursts(unsigned bursts, unsigned length, size_t size) {
    static void *blocks[LONG_BURST];
    for (unsigned burst = 0; burst < bursts; burst++) {
        for (unsigned i = 0; i < length; i++) {
            blocks[i] = lucid_malloc(size);
            assert_non_null(blocks[i]);
        }
        for (unsigned i = 0; i < length; i++) {
            lucid_free(blocks[i]);
        }
    }
}

// The capacity of the bin of that size, which nobody used before, after more bursts than it needs
// to become as large as it may where other bins have all the room.
static unsigned capacity_after(unsigned length, size_t size) {
    lucid_free(lucid_malloc(1)); // the heap begins with the first block
    struct heap *heap = heap_mine();
    heap->room += (uint32_t)MUCH;
    make_bursts(BURSTS, length, size);
    heap->room -= (uint32_t)MUCH;
    return capacity_now(size);
}

static size_t room_of_all_bins(void) {
    const struct heap *heap = heap_mine();
    size_t room = 0;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        room += heap->capacity[class] * sizeclass_size(class);
    }
    return room;
}

static unsigned capacity_after_bursts(size_t size) {
    return capacity_after(BURST, size);
}

static unsigned slots_of(size_t bytes, size_t size) {
    return (unsigned)max_size(min_size(bytes / size, BIN_SLOTS_MAX), 1);
}

static void few_large_blocks_in_a_small_heap(void **state) {
    (void)state;
    assert_int_equal(capacity_after_bursts(512), slots_of(BIN_BYTES_MAX / 4, 512));
    assert_int_equal(capacity_after_bursts(1024), slots_of(BIN_BYTES_MAX / 4, 1024));
    assert_int_equal(capacity_after_bursts(8192), slots_of(BIN_BYTES_MAX / 4, 8192));
    assert_int_equal(capacity_after_bursts(4096), slots_of(BIN_BYTES_MAX / 2, 4096));
}

static void as_many_tiny_ones_as_come_at_once(void **state) {
    (void)state;
    assert_true(capacity_after(LONG_BURST, 256) >= min_size(LONG_BURST / 2, BIN_SLOTS_MAX));
}

static void more_in_a_large_one(void **state) {
    (void)state;
    void *much = lucid_malloc(MUCH);
    assert_non_null(much);
    assert_int_equal(capacity_after_bursts(7168), slots_of(BIN_BYTES_MAX, 7168));
    assert_int_equal(capacity_after_bursts(3072), slots_of(BIN_BYTES_MAX, 3072));
    assert_int_equal(capacity_after(LONG_BURST, 1008), slots_of(BIN_BYTES_MAX, 1008));
    lucid_free(much);
}

// Each of many threads has its own bins.
static void fewer_where_threads_share_it(void **state) {
    (void)state;
    void *much = lucid_malloc(MUCH);
    assert_non_null(much);
    uint32_t threads = root.live.threads;
    root.live.threads = 64;
    assert_int_equal(capacity_after_bursts(6144), slots_of(BIN_BYTES_MAX / 4, 6144));
    root.live.threads = threads;
    lucid_free(much);
}

static size_t most_room(void) {
    size_t most_used = atomic_load(&root.live.top) << UNIT_SHIFT;
    return max_size(most_used / BIN_ROOM_SHARE, BIN_ROOM_MIN);
}

static void more_for_bursts_that_go_on(void **state) {
    (void)state;
    size_t before = heap_mine()->room;
    assert_int_equal(room_of_all_bins(), before);
    make_bursts(MANY_BURSTS, LONG_BURST, 10240);
    assert_true(capacity_now(10240) > slots_of(BIN_BYTES_MAX, 10240));
    assert_int_equal(room_of_all_bins(), heap_mine()->room);
    assert_true(heap_mine()->room <= max_size(before, most_room()));
}

// With many classes none goes on for long, by chance or otherwise.
static void no_more_for_evenly_spread_traffic(void **state) {
    (void)state;
    if (LUCID_STRESS) {
        skip(); // two in a row are a streak there
    }
    static void *blocks[BURST * CLASSES];
    struct heap *heap = heap_mine();
    size_t room = heap->room;
    uint64_t random = 1;
    heap->room = 0;
    for (unsigned i = 0; i < MANY_BURSTS * BURST * CLASSES; i++) {
        void **block = &blocks[test_random(&random) % (BURST * CLASSES)];
        lucid_free(*block);
        *block = lucid_malloc(528 + test_random(&random) % CLASSES * BLOCK_ALIGN);
    }
    for (unsigned i = 0; i < BURST * CLASSES; i++) {
        lucid_free(blocks[i]);
    }
    heap->room += (uint32_t)room;
    for (unsigned i = 0; i < CLASSES; i++) {
        unsigned class = sizeclass_of(528 + i * BLOCK_ALIGN);
        assert_true(heap->capacity[class] <= binsize_limit(class));
    }
}

// An eighth of a large heap would be a lot.
static void never_more_than_that(void **state) {
    (void)state;
    if (LUCID_STRESS) {
        skip(); // no bin has so many slots there
    }
    static void *much[8];
    unsigned class = sizeclass_of(SMALL_MAX);
    struct heap *heap = heap_mine();
    for (unsigned i = 0; i < 8; i++) {
        much[i] = lucid_malloc(BIN_ROOM_MAX * BIN_ROOM_SHARE / 5);
        assert_non_null(much[i]);
    }
    assert_int_equal(capacity_after_bursts(SMALL_MAX), slots_of(BIN_BYTES_MAX, SMALL_MAX));
    uint32_t room = heap->room;
    heap->room = 0;
    heap->streak[class] = BIN_STREAK;
    assert_int_equal(binsize_most(heap, class), heap->capacity[class] + BIN_ROOM_MAX / SMALL_MAX);
    heap->streak[class] = 0;
    heap->room = room;
    for (unsigned i = 0; i < 8; i++) {
        lucid_free(much[i]);
    }
}

// pre: an earlier test has left a large bin of 10,240 bytes.
static void one_that_stands_still_makes_room(void **state) {
    (void)state;
    unsigned still = sizeclass_of(10240);
    size_t before = heap_mine()->room;
    assert_true(capacity_now(10240) > binsize_limit(still));
    make_bursts(MANY_BURSTS + BIN_STILL_EVENTS * 4, LONG_BURST, 12288);
    assert_int_equal(capacity_now(10240), binsize_first(still));
    assert_true(bin_count(heap_mine(), still) <= binsize_first(still));
    assert_true(capacity_now(12288) > binsize_limit(sizeclass_of(12288)));
    assert_int_equal(room_of_all_bins(), heap_mine()->room);
    assert_true(heap_mine()->room <= max_size(before, most_room()));
}

static void **array_seen[CLASS_COUNT];
static unsigned capacity_seen[CLASS_COUNT];
static bool fell[CLASS_COUNT]; // the capacity did since the bin has this array
static unsigned arrays_replaced;

static void look_at_capacities(void) {
    const struct heap *heap = root.live.heaps;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        if (heap->slots[class] != array_seen[class]) {
            array_seen[class] = heap->slots[class];
            fell[class] = false;
            arrays_replaced++;
        }
        fell[class] |= heap->capacity[class] < capacity_seen[class];
        capacity_seen[class] = heap->capacity[class];
    }
}

// Whoever stops between two instructions finds no capacity that is more than the array has: where
// it falls the array is replaced after that.
static void a_small_capacity_before_its_array(void **state) {
    (void)state;
    if (UNDER_TSAN || LUCID_STRESS) {
        skip(); // no single steps here; bins become small all the time
    }
    struct heap *heap = heap_mine();
    assert_ptr_equal(heap, root.live.heaps);
    make_bursts(BURSTS, BURST, 1280);
    heap->room += (uint32_t)MUCH;
    for (unsigned i = 0; i < BIN_STILL_EVENTS; i++) {
        heap->searched = heap->events;
        make_bursts(1, BURST, 5120);
    }
    heap->searched = heap->events - BIN_STILL_EVENTS;
    size_t before = heap->room;
    heap->unnoted = heap->room + (uint32_t)MUCH; // more than goes through bins until one is small
    look_at_capacities();
    arrays_replaced = 0;
    singlestep_begin(look_at_capacities);
    make_bursts(1, BURST, 5120);
    singlestep_end();
    assert_true(heap->unnoted <= heap->room);
    heap->unnoted = 0;
    heap->room -= (uint32_t)MUCH;
    if (arrays_replaced == 0) {
        skip(); // this processor's single steps are not known
    }
    assert_true(heap->room + MUCH < before);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        assert_false(fell[class]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_large_blocks_in_a_small_heap),
        cmocka_unit_test(as_many_tiny_ones_as_come_at_once),
        cmocka_unit_test(more_in_a_large_one),
        cmocka_unit_test(fewer_where_threads_share_it),
        cmocka_unit_test(no_more_for_evenly_spread_traffic),
        cmocka_unit_test(more_for_bursts_that_go_on),
        cmocka_unit_test(never_more_than_that),
        cmocka_unit_test(one_that_stands_still_makes_room),
        cmocka_unit_test(a_small_capacity_before_its_array),
    };
    return cmocka_run_group_tests(tests, without_helper, NULL);
}
