// The span's state word: every transition from every state of a small span.
#include "spanstate.h"
#include "testing.h"
#include "unit.h"

#define BLOCKS 6

static void packs_count_and_flags(void **state) {
    (void)state;
    for (int32_t count = -2000; count <= 2000; count++) {
        for (uint32_t flags = 0; flags < 4; flags++) {
            uint32_t word = span_state(flags, (uint32_t)count);
            assert_int_equal(span_count(word), count);
            assert_int_equal(word & (SPAN_HELD | SPAN_LISTED), flags);
        }
    }
}

// A giver claims exactly the spans that nobody else will look at again.
static void give(uint32_t flags, int32_t count, uint32_t k, bool alone) {
    _Atomic uint32_t word = span_state(flags, (uint32_t)count);
    bool claimed = span_give(&word, k, BLOCKS, alone);
    int32_t after = count + (int32_t)k;
    bool held = flags & SPAN_HELD;
    bool listed = flags & SPAN_LISTED;
    bool expected = !held && (after == BLOCKS || (!listed && after > 0));
    assert_int_equal(claimed, expected);
    assert_int_equal(span_count(word), after);
    assert_int_equal((word & SPAN_HELD) != 0, held || expected);
    assert_int_equal((word & SPAN_LISTED) != 0, listed);
}

static void gives(void **state) {
    (void)state;
    for (uint32_t flags = 0; flags < 4; flags++) {
        for (int32_t count = -3; count < BLOCKS; count++) {
            for (uint32_t k = 1; count + (int32_t)k <= BLOCKS; k++) {
                give(flags, count, k, true);
                give(flags, count, k, false);
            }
        }
    }
}

static void takes(void **state) {
    (void)state;
    for (uint32_t k = 1; k <= BLOCKS; k++) {
        _Atomic uint32_t word = span_state(SPAN_HELD, BLOCKS);
        span_held_take(&word, k, k % 2 == 0);
        assert_int_equal(span_count(word), BLOCKS - (int32_t)k);
        assert_int_equal(word & 3u, SPAN_HELD);
    }
    _Atomic uint32_t word = span_state(SPAN_HELD, 1);
    span_held_take(&word, 3, false); // givers that have not counted yet make it negative
    assert_int_equal(span_count(word), -2);
}

static void lets_go(void **state) {
    (void)state;
    for (int32_t count = -2; count <= BLOCKS; count++) {
        _Atomic uint32_t word = span_state(SPAN_HELD, (uint32_t)count);
        assert_int_equal(span_held_to_full(&word), count <= 0);
        assert_int_equal(word, span_state(count <= 0 ? 0 : SPAN_HELD, (uint32_t)count));
        word = span_state(SPAN_HELD, (uint32_t)count);
        assert_int_equal(span_held_to_listed(&word, BLOCKS), count != BLOCKS);
        assert_int_equal(word,
                         span_state(count != BLOCKS ? SPAN_LISTED : SPAN_HELD, (uint32_t)count));
    }
}

static void lists(void **state) {
    (void)state;
    _Atomic uint32_t word = span_state(SPAN_LISTED, 3);
    assert_true(span_listed_to_held(&word));
    assert_int_equal(word, span_state(SPAN_HELD, 3));
    word = span_state(SPAN_LISTED | SPAN_HELD, BLOCKS); // a giver was faster
    assert_false(span_listed_to_held(&word));
    span_unlist(&word);
    assert_int_equal(word, span_state(SPAN_HELD, BLOCKS));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packs_count_and_flags),
        cmocka_unit_test(gives),
        cmocka_unit_test(takes),
        cmocka_unit_test(lets_go),
        cmocka_unit_test(lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
