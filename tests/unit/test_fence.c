// Fenced blocks of hardened mode when the system refuses.
#include "fence.h"

#include "block.h"
#include "init.h"
#include "os/os.h"
#include "unit.h"

#include <errno.h>
#include <lucid.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

static enum block_kind kind_of(const void *block) {
    return block_of(block, "test").kind;
}

static void needs_faults(void) {
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip();
    }
}

// Without addresses for a fence a block lies in the arena. (As a mapping it would be taken for one
// with a fence when it is freed, and its neighbours' pages would go with it.)
static void without_addresses(void **state) {
    (void)state;
    needs_faults();
    (void)os_inject(OS_RESERVE, 1, false);
    char *block = lucid_malloc(MIB);
    assert_non_null(block);
    assert_int_equal(kind_of(block), BLOCK_LARGE);
    memset(block, 1, MIB);
    lucid_free(block);
    block = lucid_malloc(MIB);
    assert_int_equal(kind_of(block), BLOCK_MAPPING);
    lucid_free(block);
}

// What the arena has free is the last resort for any size; it does not grow for what would be a
// mapping.
static void larger_than_mappings_are(void **state) {
    (void)state;
    needs_faults();
    (void)os_inject(OS_RESERVE, 1, true);
    errno = 0;
    assert_null(lucid_malloc(100 * MIB));
    assert_int_equal(errno, ENOMEM);
    char *blocks[6];
    for (unsigned i = 0; i < 6; i++) {
        blocks[i] = lucid_malloc(20 * MIB);
        assert_int_equal(kind_of(blocks[i]), BLOCK_LARGE);
    }
    for (unsigned i = 0; i < 6; i++) {
        lucid_free(blocks[i]);
    }
    char *block = lucid_malloc(100 * MIB);
    assert_non_null(block);
    assert_int_equal(kind_of(block), BLOCK_LARGE);
    lucid_free(block);
    (void)os_inject(OS_RESERVE, 0, false);
    block = lucid_calloc(1, 100 * MIB);
    assert_int_equal(kind_of(block), BLOCK_MAPPING);
    lucid_free(block);
}

// What freed blocks' addresses are kept for is given up before a request is refused.
static void kept_addresses_serve(void **state) {
    (void)state;
    needs_faults();
    char *block = lucid_malloc(MIB);
    lucid_free(block);
    assert_true(fence_was(block));
    (void)os_inject(OS_RESERVE, 1, false);
    char *other = lucid_malloc(MIB);
    assert_int_equal(kind_of(other), BLOCK_MAPPING);
    lucid_free(other);
}

int main(void) {
    (void)setenv("LUCID_OPTIONS", "harden=1", 1);
    if (!init_ready()) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_addresses), // first: no freed block's addresses are kept yet
        cmocka_unit_test(larger_than_mappings_are),
        cmocka_unit_test(kept_addresses_serve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
