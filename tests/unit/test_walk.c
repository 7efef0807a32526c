// The account of the heap beside a shadow that counts every block itself.
#include "setups.h"
#include "testing.h"
#include "unit.h"
#include "walk.h"

#include "invariants.h"
#include "root.h"

#include <lucid.h>

#define BLOCKS 3000u

static void *blocks[BLOCKS];
static size_t sizes[BLOCKS];

static void compare(void) {
    uint64_t count[CLASS_COUNT] = {0};
    uint64_t small_bytes = 0;
    uint64_t large_count = 0;
    uint64_t large_bytes = 0;
    uint64_t mapping_count = 0;
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (blocks[i] == NULL) {
            continue;
        }
        if (sizes[i] <= SMALL_MAX) {
            unsigned class = sizeclass_of(sizes[i] == 0 ? 1 : sizes[i]);
            count[class]++;
            small_bytes += sizeclass_size(class);
        } else if (sizes[i] <= MAPPING_THRESHOLD) {
            large_count++;
            large_bytes += align_up(sizes[i], UNIT_SIZE);
        } else {
            mapping_count++;
        }
    }
    struct account account;
    walk_account(&account);
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        const struct class_account *sums = &account.classes[class];
        assert_int_equal(sums->blocks - sums->free - sums->uncarved - sums->cached, count[class]);
        assert_int_equal(sums->blocks, sums->spans * sizeclass_table[class].blocks);
    }
    assert_int_equal(account.used_bytes, small_bytes);
    assert_int_equal(account.large_count, large_count);
    assert_int_equal(account.large_bytes, large_bytes);
    assert_int_equal(account.mapping_count, mapping_count);
    // Nothing of the arena is counted twice or not at all.
    assert_int_equal(account.span_bytes + account.large_bytes + account.pool_bytes +
                         account.top_bytes,
                     account.arena_bytes);
}

static void agrees_with_a_shadow(void **state) {
    (void)state;
    uint64_t random = test_seed();
    for (unsigned step = 0; step < 60000; step++) {
        unsigned i = test_random(&random) % BLOCKS;
        lucid_free(blocks[i]);
        blocks[i] = NULL;
        if (test_random(&random) % 3 != 0) {
            sizes[i] = test_size(&random);
            sizes[i] = step % 5000 == 1 ? (size_t)40 << 20 : sizes[i];
            blocks[i] = lucid_malloc(sizes[i]);
            assert_non_null(blocks[i]);
        }
        if (step % 2000 == 0) {
            compare();
        }
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        lucid_free(blocks[i]);
        blocks[i] = NULL;
    }
    compare();
    invariants_check(false);
}

// While others work, a record may be another run's by the time its size is read.
static void no_run_counts_for_more_than_its_units(void **state) {
    (void)state;
    char *block = lucid_malloc(100000);
    assert_non_null(block);
    struct run *run = run_at(unit_of((uintptr_t)block));
    struct account account;
    run->size = (uint64_t)1 << 40;
    walk_account(&account);
    run->size = 100000;
    assert_int_equal(account.large_count, 1);
    assert_int_equal(account.large_asked, account.large_bytes);
    assert_int_equal(account.large_usable, account.large_bytes);
    lucid_free(block);
}

// While another thread steps over a hole (grow.c), the arena ends in front of it for a moment.
static void the_top_is_never_behind_the_end(void **state) {
    (void)state;
    char *block = lucid_malloc(100000);
    assert_non_null(block);
    struct account account;
    uint64_t limit = root.live.limit;
    root.live.limit = 2;
    walk_account(&account);
    root.live.limit = limit;
    assert_int_equal(account.top_bytes, 0);
    assert_int_equal(account.arena_bytes, (atomic_load(&root.live.top) - 1) << UNIT_SHIFT);
    lucid_free(block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_shadow),
        cmocka_unit_test(no_run_counts_for_more_than_its_units),
        cmocka_unit_test(the_top_is_never_behind_the_end),
    };
    return cmocka_run_group_tests(tests, with_set_threshold, NULL);
}
