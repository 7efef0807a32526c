// The size classes, exhaustively: every size, every alignment, every offset into a span.
#include "layout.h"
#include "sizeclass.h"
#include "testing.h"
#include "unit.h"

static void every_size_has_its_class(void **state) {
    (void)state;
    for (size_t n = 1; n <= SMALL_MAX; n++) {
        unsigned class = sizeclass_of(n);
        assert_in_range(class, 1, CLASS_COUNT - 1);
        if (n > sizeclass_size(class) || n <= sizeclass_size(class - 1)) {
            fail_msg("size %zu is of class %u: %zu bytes", n, class, sizeclass_size(class));
        }
    }
    assert_int_equal(sizeclass_of(SMALL_MAX), CLASS_COUNT - 1);
    assert_int_equal(sizeclass_size(CLASS_COUNT - 1), SMALL_MAX);
    assert_int_equal(sizeclass_size(CLASS_LINEAR_COUNT), TINY_MAX);
}

// Rounding wastes less than 16 bytes of a tiny block, and at most a quarter of any other.
static void rounding_wastes_little(void **state) {
    (void)state;
    for (size_t n = 1; n <= SMALL_MAX; n++) {
        size_t waste = sizeclass_size(sizeclass_of(n)) - n;
        assert_true(n <= TINY_MAX ? waste < BLOCK_ALIGN
                                  : waste * 5 <= sizeclass_size(sizeclass_of(n)));
    }
}

static void rows_are_sound(void **state) {
    (void)state;
    assert_int_equal(sizeclass_table[0].size, 0);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        const struct sizeclass *row = &sizeclass_table[class];
        size_t bytes = row->units * UNIT_SIZE;
        assert_true(row->size % BLOCK_ALIGN == 0 && row->size > sizeclass_size(class - 1));
        assert_int_equal(row->blocks, bytes / row->size);
        assert_true(row->blocks <= SPAN_BLOCKS_MAX && row->blocks >= 2);
        assert_true((bytes - (size_t)row->blocks * row->size) * 16 <= bytes);
        assert_true(class * sizeof(struct bin) <= UINT16_MAX);
    }
}

// The product with the reciprocal is the quotient, for every offset into every kind of span.
static void index_is_the_quotient(void **state) {
    (void)state;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        const struct sizeclass *row = &sizeclass_table[class];
        for (size_t offset = 0; offset < row->units * UNIT_SIZE; offset++) {
            if (sizeclass_index(class, offset) != offset / row->size) {
                fail_msg("class %u, offset %zu", class, offset);
            }
        }
    }
}

static unsigned aligned_by_search(size_t n, size_t alignment) {
    for (unsigned class = 1; class < CLASS_COUNT && alignment <= UNIT_SIZE; class ++) {
        if (sizeclass_size(class) >= n && sizeclass_size(class) % alignment == 0) {
            return class;
        }
    }
    return 0;
}

static void aligned_classes(void **state) {
    (void)state;
    for (size_t alignment = 1; alignment <= 4 * UNIT_SIZE; alignment *= 2) {
        for (size_t n = 0; n <= SMALL_MAX; n++) {
            unsigned class = sizeclass_aligned(n, alignment);
            if (class != aligned_by_search(n, alignment)) {
                fail_msg("size %zu at %zu: class %u", n, alignment, class);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_has_its_class), cmocka_unit_test(rounding_wastes_little),
        cmocka_unit_test(rows_are_sound),           cmocka_unit_test(index_is_the_quotient),
        cmocka_unit_test(aligned_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
