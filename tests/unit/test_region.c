// Regions by themselves: the program's own heaps (lucid.h).
#include "region.h"

#include "arena.h"
#include "helper.h"
#include "init.h"
#include "invariants.h"
#include "large.h"
#include "mapping.h"
#include "os/os.h"
#include "singlestep.h"
#include "testing.h"
#include "unit.h"
#include "walk.h"

#include <errno.h>
#include <lucid.h>
#include <malloc.h>
#include <sys/mman.h>

#define COUNT 5000u

static void *blocks[COUNT];

static int begin(void **state) {
    (void)state;
    if (!init_ready() || lucid_mallopt(M_MMAP_THRESHOLD, 300000) != 1) {
        return -1;
    }
    helper_pause(); // nothing is given back unless this test asks
    return 0;
}

static const struct lucid_region *inside(const lucid_heap *heap) {
    return (const struct lucid_region *)heap;
}

static uint64_t used_bytes(void) {
    struct account account;
    walk_account(&account);
    return account.used_bytes + account.large_bytes + account.mapping_bytes;
}

static uint32_t units_free(void) {
    return root.live.pool.free_units + (uint32_t)(root.live.limit - root.live.top);
}

static size_t size_number(unsigned i) {
    static const size_t sizes[] = {0,    1,    16,   17,    24,    100,    512,    513,
                                   1000, 4096, 9000, 32768, 32769, 100000, 299999, 400000};
    return sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
}

static void blocks_are_the_programs(void **state) {
    (void)state;
    lucid_heap *heap = lucid_heap_new("requests");
    for (unsigned i = 0; i < 200; i++) {
        size_t size = size_number(i);
        blocks[i] = i % 3 == 0 ? lucid_heap_calloc(heap, 1, size) : lucid_heap_alloc(heap, size);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % BLOCK_ALIGN, 0);
        assert_true(lucid_malloc_usable_size(blocks[i]) >= size);
        assert_true(i % 3 != 0 || test_zero(blocks[i], size));
        test_fill(blocks[i], size);
    }
    for (unsigned i = 0; i < 200; i++) {
        size_t size = size_number(i);
        assert_true(test_filled(blocks[i], blocks[i], size, size));
        if (i % 2 == 0) {
            lucid_heap_free(heap, blocks[i]);
        } else {
            lucid_free(blocks[i]); // whoever frees it, it goes back to its heap
        }
    }
    invariants_check(false);
    lucid_heap_free(heap, NULL);
    assert_int_equal(inside(heap)->mappings, 0);
    lucid_heap_destroy(heap);
    invariants_check(false);
}

static void alignments_are_kept(void **state) {
    (void)state;
    lucid_heap *heap = lucid_heap_new(NULL);
    for (size_t alignment = 1; alignment <= (size_t)1 << 22; alignment *= 2) {
        for (unsigned i = 0; i < 16; i++) {
            void *block = lucid_heap_aligned_alloc(heap, alignment, size_number(i));
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % alignment, 0);
            test_fill(block, size_number(i));
        }
    }
    errno = 0;
    assert_null(lucid_heap_aligned_alloc(heap, 48, 10));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(lucid_heap_alloc(heap, SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(lucid_heap_calloc(heap, SIZE_MAX / 2, 3));
    assert_int_equal(errno, ENOMEM);
    lucid_heap_destroy(heap);
    invariants_check(false);
}

// Through all kinds of blocks and back, with both names of realloc.
static void resized_blocks_stay(void **state) {
    (void)state;
    lucid_heap *heap = lucid_heap_new("resized");
    char *block = lucid_heap_realloc(heap, NULL, 10);
    size_t had = 10;
    test_fill(block, had);
    for (unsigned i = 1; i < 64; i++) {
        size_t size = size_number(i * 7) + 1;
        size_t kept = size < had ? size : had;
        char *before = block;
        block = i % 2 == 0 ? lucid_realloc(block, size) : lucid_heap_realloc(heap, block, size);
        assert_non_null(block);
        assert_true(test_filled(block, before, kept, had));
        assert_ptr_equal(block_of(block, "test").region, heap);
        test_fill(block, size);
        had = size;
    }
    invariants_check(false);
    assert_null(lucid_heap_realloc(heap, block, 0)); // frees it
    uint64_t left = 0;
    for (uint32_t head = inside(heap)->runs; head != 0; head = run_at(head)->right) {
        left += run_kind_of(run_load(head)) == RUN_LARGE;
    }
    assert_int_equal(left, 0);
    lucid_heap_destroy(heap);
}

static void freed_blocks_are_used_again(void **state) {
    (void)state;
    lucid_heap *heap = lucid_heap_new("again");
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = lucid_heap_alloc(heap, 40);
    }
    uint32_t full = units_free();
    for (unsigned i = 0; i < COUNT; i += 2) {
        lucid_heap_free(heap, blocks[i]);
    }
    for (unsigned i = 0; i < COUNT; i += 2) {
        blocks[i] = lucid_heap_alloc(heap, 40);
    }
    assert_int_equal(units_free(), full);
    for (unsigned i = 0; i < COUNT; i++) {
        lucid_heap_free(heap, blocks[i]);
    }
    uint32_t units = 0;
    for (uint32_t head = inside(heap)->runs; head != 0; head = run_at(head)->right) {
        units += run_length_of(run_load(head));
    }
    assert_int_equal(units, sizeclass_table[3].units); // one empty span stays, for the next block
    invariants_check(false);
    lucid_heap_destroy(heap);
}

static void all_goes_at_once(void **state) {
    (void)state;
    lucid_heap *heap = lucid_heap_new("phase");
    lucid_heap *other = lucid_heap_new("other");
    char *mine = lucid_malloc(100);
    char *others = lucid_heap_alloc(other, 100);
    char *others_mapping = lucid_heap_alloc(other, 400000);
    test_fill(mine, 100);
    test_fill(others, 100);
    uint64_t used = used_bytes();
    uint32_t units = units_free();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 400; i++) {
            void *block = lucid_heap_alloc(heap, size_number(i));
            assert_non_null(block);
            test_fill(block, size_number(i));
        }
        assert_int_equal(inside(heap)->mappings, 25);
        lucid_heap_free_all(heap);
        assert_int_equal(used_bytes(), used);
        assert_true(units_free() >= units);
        assert_int_equal(inside(heap)->runs, 0);
        invariants_check(false);
    }
    assert_true(test_filled(mine, mine, 100, 100) && test_filled(others, others, 100, 100));
    others_mapping[0] = 1;
    lucid_heap_destroy(heap);
    lucid_heap_destroy(other);
    lucid_free(mine);
}

static unsigned long steps;

static void count_step(void) {
    steps++;
}

// It takes time for what it has, not for what others have.
static void others_mappings_cost_nothing(void **state) {
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); // its instructions would count, and take minutes one at a time
#endif
    lucid_heap *others = lucid_heap_new("others");
    lucid_heap *heap = lucid_heap_new("few");
    for (unsigned i = 0; i < 3000; i++) {
        assert_non_null(lucid_heap_alloc(i % 300 == 0 ? heap : others, 300001));
    }
    assert_int_equal(inside(heap)->mappings, 10);
    invariants_check(false);
    singlestep_begin(count_step);
    lucid_heap_destroy(heap);
    singlestep_end();
    assert_int_equal(inside(others)->mappings, 2990);
    assert_true(steps < 2 * root.live.mappings.capacity);
    invariants_check(false);
    lucid_heap_destroy(others);
    assert_int_equal(root.live.mappings.count, 0);
    invariants_check(false);
}

static size_t pages_there(uintptr_t start, size_t length) {
    size_t page = root.fixed.page_size;
    size_t there = 0;
    for (size_t offset = 0; offset < length; offset += page) {
        unsigned char vector = 0;
        assert_int_equal(mincore((void *)(start + offset), page, &vector), 0);
        there += vector & 1;
    }
    return there;
}

// The blocks are not looked at: memory that is not there stays so.
static void blocks_are_not_touched(void **state) {
    (void)state;
    static uint32_t heads[1000];
    static size_t lengths[1000];
    lucid_heap *heap = lucid_heap_new("untouched");
    for (unsigned i = 0; i < 100000; i++) {
        assert_non_null(lucid_heap_alloc(heap, 64));
    }
    unsigned count = 0;
    for (uint32_t head = inside(heap)->runs; head != 0; head = run_at(head)->right) {
        assert_true(count < 1000);
        lengths[count] = (size_t)run_length_of(run_load(head)) << UNIT_SHIFT;
        heads[count++] = head;
    }
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(madvise((void *)unit_address(heads[i]), lengths[i], MADV_DONTNEED), 0);
    }
    lucid_heap_free_all(heap);
    size_t there = 0;
    for (unsigned i = 0; i < count; i++) {
        there += pages_there(unit_address(heads[i]), lengths[i]);
    }
    assert_int_equal(there, 0);
    lucid_heap_destroy(heap);
}

static void names_are_cut_and_cleaned(void **state) {
    (void)state;
    lucid_heap *heap = lucid_heap_new("line\nfeed");
    assert_string_equal(inside(heap)->name, "line?feed");
    lucid_heap_set_name(heap, "a name that is longer than there is room for");
    assert_string_equal(inside(heap)->name, "a name that is longer than ther");
    lucid_heap_set_name(heap, NULL);
    assert_string_equal(inside(heap)->name, "");
    lucid_heap_destroy(heap);
}

// An address of an ended heap is known to be none for a while.
static void ended_ones_wait(void **state) {
    (void)state;
    lucid_heap *ended = lucid_heap_new("ended");
    lucid_heap_destroy(ended);
    for (unsigned i = 0; i < (LUCID_STRESS ? 1u : 50u); i++) {
        lucid_heap *heap = lucid_heap_new("later");
        assert_ptr_not_equal(heap, ended);
        lucid_heap_destroy(heap);
    }
    uint32_t records = root.live.regions.count;
    for (unsigned i = 0; i < 1000; i++) {
        lucid_heap_destroy(lucid_heap_new("later"));
    }
    assert_true(root.live.regions.count <= records + 64);
    invariants_check(false);
}

static void no_memory_changes_nothing(void **state) {
    (void)state;
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip();
    }
    lucid_heap *heap = lucid_heap_new("refused");
    char *block = lucid_heap_alloc(heap, 400000);
    test_fill(block, 400000);
    for (int call = 0; call < OS_CALL_COUNT; call++) {
        (void)os_inject((enum os_call)call, 1, true);
    }
    unsigned refused = 0;
    for (unsigned i = 0; i < 3000 && refused < 10; i++) {
        errno = 0;
        refused += lucid_heap_alloc(heap, 400000 + i) == NULL && errno == ENOMEM;
    }
    errno = 0;
    char *moved = lucid_heap_realloc(heap, block, (size_t)1 << 34);
    for (int call = 0; call < OS_CALL_COUNT; call++) {
        (void)os_inject((enum os_call)call, 0, false);
    }
    assert_int_equal(refused, 10);
    assert_null(moved);
    assert_true(test_filled(block, block, 400000, 400000));
    invariants_check(false);
    lucid_heap_destroy(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_the_programs),   cmocka_unit_test(alignments_are_kept),
        cmocka_unit_test(resized_blocks_stay),       cmocka_unit_test(freed_blocks_are_used_again),
        cmocka_unit_test(all_goes_at_once),          cmocka_unit_test(blocks_are_not_touched),
        cmocka_unit_test(names_are_cut_and_cleaned), cmocka_unit_test(ended_ones_wait),
        cmocka_unit_test(no_memory_changes_nothing), cmocka_unit_test(others_mappings_cost_nothing),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
