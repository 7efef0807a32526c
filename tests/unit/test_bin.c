// How large a bin may become: small blocks by the byte, large ones by what the thread uses.
#include "bin.h"

#include "root.h"
#include "setups.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>

#define MUCH (BIN_BYTES_MAX * BIN_SHARE * 2)
#define BURST 48u
#define LONG_BURST 140u
#define BURSTS 12u

// The capacity of the bin of that size, which nobody used before, after more bursts than it needs to
// become as large as it may.
static unsigned capacity_after(unsigned length, size_t size) {
    static void *blocks[LONG_BURST];
    for (unsigned burst = 0; burst < BURSTS; burst++) {
        for (unsigned i = 0; i < length; i++) {
            blocks[i] = lucid_malloc(size);
            assert_non_null(blocks[i]);
        }
        for (unsigned i = 0; i < length; i++) {
            lucid_free(blocks[i]);
        }
    }
    return heap_mine()->capacity[sizeclass_of(size)];
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_large_blocks_in_a_small_heap),
        cmocka_unit_test(as_many_tiny_ones_as_come_at_once),
        cmocka_unit_test(more_in_a_large_one),
        cmocka_unit_test(fewer_where_threads_share_it),
    };
    return cmocka_run_group_tests(tests, without_helper, NULL);
}
