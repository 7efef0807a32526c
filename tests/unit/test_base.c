// base.h: every function against the plainest definition there is.
#include "base.h"
#include "testing.h"
#include "unit.h"

static void counts_bits(void **state) {
    (void)state;
    uint64_t random = test_seed();
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t word = (uint64_t)test_random(&random) << 33 ^ test_random(&random);
        word = i % 3 == 0 ? word & (word << 7) : word;
        unsigned count = 0;
        for (unsigned bit = 0; bit < 64; bit++) {
            count += (unsigned)(word >> bit & 1);
        }
        assert_int_equal(bit_count(word), count);
        if (word != 0) {
            assert_true(word >> bit_lowest(word) & 1);
            assert_int_equal(word & bit_low_mask(bit_lowest(word)), 0);
            assert_true(word >> bit_highest(word) == 1);
        }
    }
    assert_int_equal(bit_count(0), 0);
    assert_int_equal(bit_count(UINT64_MAX), 64);
}

static void makes_masks(void **state) {
    (void)state;
    for (unsigned n = 0; n <= 64; n++) {
        assert_int_equal(bit_count(bit_low_mask(n)), n);
        assert_true((bit_low_mask(n) & (bit_low_mask(n) + 1)) == 0);
    }
}

static void aligns(void **state) {
    (void)state;
    for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        for (size_t value = 0; value < 9000; value += 7) {
            size_t up = align_up(value, alignment);
            size_t down = align_down(value, alignment);
            assert_true(up >= value && up - value < alignment && up % alignment == 0);
            assert_true(down <= value && value - down < alignment && down % alignment == 0);
            assert_int_equal(is_aligned(value, alignment), value % alignment == 0);
        }
    }
}

static void knows_powers_of_two(void **state) {
    (void)state;
    assert_false(is_power_of_two(0));
    for (unsigned i = 0; i < 64; i++) {
        assert_true(is_power_of_two((size_t)1 << i));
        assert_true(i < 2 || !is_power_of_two(((size_t)1 << i) - 1));
        assert_true(i < 1 || !is_power_of_two(((size_t)1 << i) + 1));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_bits),
        cmocka_unit_test(makes_masks),
        cmocka_unit_test(aligns),
        cmocka_unit_test(knows_powers_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
