// Memory for the allocator's own records: zeroed, aligned, never overlapping, taken again.
#include "allowance.h"
#include "init.h"
#include "meta.h"
#include "os/os.h"
#include "root.h"
#include "testing.h"
#include "unit.h"

#define MANY 500u

static void random_sizes(void **state) {
    (void)state;
    static struct {
        unsigned char *memory;
        size_t size;
    } taken[MANY];
    uint64_t random = test_seed();
    assert_true(init_ready());
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = test_random(&random) % MANY;
        if (taken[i].memory != NULL) {
            assert_true(
                test_filled(taken[i].memory, taken[i].memory, taken[i].size, taken[i].size));
            meta_give(taken[i].memory, taken[i].size);
            taken[i].memory = NULL;
            continue;
        }
        taken[i].size = 1 + test_random(&random) % 5000;
        taken[i].memory = meta_take(taken[i].size);
        assert_non_null(taken[i].memory);
        assert_true(test_zero(taken[i].memory, taken[i].size));
        uintptr_t address = (uintptr_t)taken[i].memory;
        assert_true(address % 64 == 0);
        assert_true(address >= root.fixed.meta_start &&
                    address + taken[i].size <= root.fixed.meta_end);
        test_fill(taken[i].memory, taken[i].size);
    }
}

// What is given back is taken again: the same few sizes for ever need no new memory.
static void is_reused(void **state) {
    (void)state;
    void *memory = meta_take(3000);
    meta_give(memory, 3000);
    uintptr_t next = root.live.meta_next;
    for (unsigned i = 0; i < 10000; i++) {
        memory = meta_take(2100 + i % 1900);
        assert_non_null(memory);
        meta_give(memory, 2100 + i % 1900);
    }
    assert_int_equal(root.live.meta_next, next);
}

static void refused(void **state) {
    (void)state;
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip();
    }
    (void)os_inject(OS_COMMIT, 1, true);
    (void)os_inject(OS_MAP, 1, true); // where the tables lie apart
    unsigned count = 0;
    while (meta_take(4096) != NULL) {
        assert_true(++count < 100000);
    }
    (void)os_inject(OS_COMMIT, 0, false);
    (void)os_inject(OS_MAP, 0, false);
    assert_non_null(meta_take(4096));
}

// At the limit there is nothing left for records, but for those that lead to memory that goes back.
static void at_the_limit(void **state) {
    (void)state;
    uint64_t taken = atomic_load(&root.live.allowance.taken);
    allowance_set(taken);
    assert_null(meta_take_for_good(64));
    assert_non_null(meta_take_for_return(64));
    assert_int_equal(atomic_load(&root.live.allowance.taken), taken + 64);
    allowance_set(0);
    assert_non_null(meta_take_for_good(64));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_sizes),
        cmocka_unit_test(is_reused),
        cmocka_unit_test(refused),
        cmocka_unit_test(at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
