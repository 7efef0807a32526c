// The table of mappings with many entries, random order, and refusing kernels.
#include "huge.h"
#include "init.h"
#include "invariants.h"
#include "mapping.h"
#include "options.h"
#include "os/os.h"
#include "root.h"
#include "testing.h"
#include "unit.h"

#include <pthread.h>

#define MANY 3000u

static char *blocks[MANY];
static size_t sizes[MANY];

static void finds_what_it_has(void **state) {
    (void)state;
    uint64_t random = test_seed();
    assert_true(init_ready());
    for (unsigned step = 0; step < (LUCID_SLOWED ? 6000 : 20000); step++) {
        unsigned i = test_random(&random) % MANY;
        struct mapping found;
        if (blocks[i] == NULL) {
            sizes[i] = 1 + test_random(&random) % 20000;
            blocks[i] = mapping_new(sizes[i], (size_t)16 << test_random(&random) % 14, NULL);
            assert_non_null(blocks[i]);
            assert_true(test_zero(blocks[i], sizes[i]));
            test_fill(blocks[i], sizes[i]);
        } else {
            assert_true(mapping_find(blocks[i], &found));
            assert_true(found.asked == sizes[i] && found.size >= sizes[i]);
            assert_true(test_filled(blocks[i], blocks[i], sizes[i], sizes[i]));
            assert_false(mapping_find(blocks[i] + 16, &found));
            size_t inside = test_random(&random) % sizes[i];
            assert_true(mapping_around(blocks[i] + inside, &found));
            assert_ptr_equal(found.address, blocks[i]);
            assert_true(mapping_free(blocks[i]));
            assert_false(mapping_free(blocks[i]));
            assert_false(mapping_find(blocks[i], &found));
            assert_false(mapping_around(blocks[i] + inside, &found));
            blocks[i] = NULL;
        }
        if (step % 1000 == 0) {
            invariants_check(false);
        }
    }
    for (unsigned i = 0; i < MANY; i++) {
        assert_true(blocks[i] == NULL || mapping_free(blocks[i]));
        blocks[i] = NULL;
    }
    assert_int_equal(root.live.mappings.count, 0);
    assert_int_equal(root.live.mappings.bytes, 0);
}

static void nothing_is_found(void **state) {
    (void)state;
    struct mapping found;
    assert_false(mapping_find(NULL, &found));
    assert_false(mapping_find(&found, &found));
    assert_false(mapping_around(NULL, &found));
    assert_false(mapping_around(&found, &found));
    assert_false(mapping_free(NULL));
    assert_null(mapping_resize(NULL, 100));
    assert_null(mapping_resize(&found, 100));
    assert_null(mapping_new(SIZE_MAX, 16, NULL));
    assert_null(mapping_new(PTRDIFF_MAX, 4096, NULL));
    assert_null(mapping_new(100, (size_t)1 << 62, NULL));
}

static void resizes(void **state) {
    (void)state;
    char *block = mapping_new(10000, 16, NULL);
    static const size_t steps[] = {20000, 5000000, 300, 12288, 12289, 80000000, 1};
    size_t kept = 300;
    memset(block, 0x3c, kept);
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        block = mapping_resize(block, steps[i]);
        assert_non_null(block);
        kept = kept < steps[i] ? kept : steps[i];
        for (size_t j = 0; j < kept; j++) {
            assert_int_equal(block[j], 0x3c);
        }
        struct mapping found;
        assert_true(mapping_find(block, &found) && found.asked == steps[i]);
        invariants_check(false);
    }
    assert_null(mapping_resize(block, SIZE_MAX));
    assert_true(mapping_free(block));
}

// A part of it without them would be another mapping to the kernel, which moves one at a time.
static void moves_with_huge_pages(void **state) {
    (void)state;
    uint64_t before = root.live.options.value[OPTION_THP];
    root.live.options.value[OPTION_THP] = THP_ALWAYS;
    size_t size = 4 * HUGE_PAGE_SIZE + root.fixed.page_size;
    void *first = mapping_new(size, 16, NULL);
    void *second = mapping_new(size, 16, NULL);
    root.live.options.value[OPTION_THP] = before;
    assert_true(first != NULL && second != NULL);
    first = mapping_resize(first, 2 * size);
    second = mapping_resize(second, 2 * size);
    assert_true(first != NULL && second != NULL);
    assert_true(mapping_free(first));
    assert_true(mapping_free(second));
}

// What the kernel makes of a block: so many mappings.
static unsigned parts_of(const void *block, size_t size) {
    unsigned parts = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *end;
        uintptr_t start = strtoul(line, &end, 16);
        parts += start < (uintptr_t)block + size && strtoul(end + 1, NULL, 16) > (uintptr_t)block;
    }
    (void)fclose(maps);
    return parts;
}

// With huge pages in the middle, and filled.
static char *new_in_parts(size_t size) {
    char *block = mapping_new(size, 16, NULL);
    assert_non_null(block);
    huge_mapping_filled((uintptr_t)block, size);
    assert_int_equal(block[root.fixed.page_size], 0);
    return memset(block, 0x51, size);
}

// The kernel moves one kind of memory at a time: parts are joined first.
static void moves_with_some_in_the_middle(void **state) {
    (void)state;
    size_t size = HUGE_MAPPING_MIN + 3 * HUGE_PAGE_SIZE + root.fixed.page_size;
    char *pair[2]; // of which one at least lies right in front of something
    for (unsigned i = 0; i < 2; i++) {
        pair[i] = new_in_parts(size);
    }
    bool parts = parts_of(pair[0], size) > 1; // this kernel has huge pages
    // About all addresses there are, so that the kernel refuses once it has seen the parts.
    assert_null(mapping_resize(pair[0], ((size_t)1 << 47) - ((size_t)1 << 30)));
    assert_int_equal(parts_of(pair[0], size) > 1, parts);
    for (unsigned i = 0; i < 2; i++) {
        pair[i] = mapping_resize(pair[i], 2 * size);
        assert_non_null(pair[i]);
        assert_int_equal(parts_of(pair[i], 2 * size) > 1, parts && !UNDER_TSAN);
        for (size_t at = 0; at < 2 * size; at += 997) {
            assert_int_equal(pair[i][at], at < size ? 0x51 : 0);
        }
        pair[i] = mapping_resize(pair[i], size / 2);
        assert_non_null(pair[i]);
    }
    assert_true(mapping_free(pair[0]) && mapping_free(pair[1]));
}

static void grows_little_by_little_in_one_part(void **state) {
    (void)state;
    size_t size = HUGE_MAPPING_MIN;
    char *block = new_in_parts(size);
    for (unsigned i = 0; i < 5; i++) {
        size += root.fixed.page_size;
        block = mapping_resize(block, size);
        assert_non_null(block);
        assert_int_equal(parts_of(block, size), 1);
    }
    assert_true(mapping_free(block));
}

static void *frees(void *block) {
    assert_true(mapping_free(block));
    return NULL;
}

// What was not filled is counted when it ends, whoever ends it, and before it moves.
static void counts_what_was_not_filled(void **state) {
    (void)state;
    root.live.mappings.unfilled = 0;
    for (unsigned i = 0; i < 4; i++) {
        char *block = mapping_new(HUGE_MAPPING_MIN, 16, NULL);
        assert_non_null(block);
        huge_mapping_filled((uintptr_t)block, HUGE_MAPPING_MIN);
        os_advise_small(block, HUGE_BLOCK_MIN); // whatever the system gives to all memory
        block[0] = 1;
        assert_int_equal(root.live.mappings.unfilled, i);
        if (i == 1) {
            block = mapping_resize(block, 2 * HUGE_MAPPING_MIN);
            assert_non_null(block);
        }
        pthread_t thread;
        if (i == 2) {
            assert_int_equal(pthread_create(&thread, NULL, frees, block), 0);
            assert_int_equal(pthread_join(thread, NULL), 0);
        } else {
            assert_true(mapping_free(block));
        }
    }
    assert_int_equal(root.live.mappings.unfilled, 4);
    char *declined = mapping_new(HUGE_MAPPING_MIN, 16, NULL);
    huge_mapping_filled((uintptr_t)declined, HUGE_MAPPING_MIN);
    assert_int_equal(parts_of(declined, HUGE_MAPPING_MIN), 1);
    memset(declined, 1, HUGE_MAPPING_MIN);
    assert_true(mapping_free(declined));
    assert_int_equal(root.live.mappings.unfilled, 0);
}

static void kernel_refuses(void **state) {
    (void)state;
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip();
    }
    char *block = mapping_new(10000, 16, NULL);
    (void)os_inject(OS_REMAP, 1, false);
    assert_null(mapping_resize(block, 20000000));
    (void)os_inject(OS_MAP, 1, false);
    assert_null(mapping_new(10000, 16, NULL));
    (void)os_inject(OS_MAP, 0, false);
    // The piece in front that cannot be cut off stays part of the mapping.
    (void)os_inject(OS_UNMAP, 1, true);
    char *aligned = mapping_new(10000, 1 << 20, NULL);
    (void)os_inject(OS_UNMAP, 0, false);
    assert_true(aligned != NULL && (uintptr_t)aligned % (1 << 20) == 0);
    invariants_check(false);
    assert_true(mapping_free(aligned) && mapping_free(block));
    assert_int_equal(root.live.mappings.bytes, 0);
}

// The table cannot grow: it fills up to the last place but one, then mappings are refused.
static void table_is_full(void **state) {
    (void)state;
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip();
    }
    unsigned made = 0;
    uint32_t capacity = root.live.mappings.capacity;
    for (;;) {
        (void)os_inject(OS_RESERVE, 1, false); // for the larger table
        char *block = mapping_new(4096, 16, NULL);
        (void)os_inject(OS_RESERVE, 0, false);
        if (block == NULL) {
            break;
        }
        assert_true(made < MANY * 10);
        *(char **)(void *)block = made == 0 ? NULL : blocks[0]; // a chain through the blocks
        blocks[0] = block;
        made++;
    }
    assert_int_equal(root.live.mappings.capacity, capacity);
    assert_int_equal(root.live.mappings.count, capacity - 1);
    invariants_check(false);
    for (char *block = blocks[0]; block != NULL;) {
        char *next = *(char **)(void *)block;
        assert_true(mapping_free(block));
        block = next;
    }
    blocks[0] = NULL;
    assert_int_equal(root.live.mappings.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_it_has),
        cmocka_unit_test(nothing_is_found),
        cmocka_unit_test(resizes),
        cmocka_unit_test(kernel_refuses),
        cmocka_unit_test(table_is_full),
        cmocka_unit_test(moves_with_huge_pages),
        cmocka_unit_test(moves_with_some_in_the_middle),
        cmocka_unit_test(grows_little_by_little_in_one_part),
        cmocka_unit_test(counts_what_was_not_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
