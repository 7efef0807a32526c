// What may be set while the program runs, mallopt, and the borders of lucid_stats.
#include "helper.h"
#include "options.h"
#include "release.h"
#include "root.h"
#include "testing.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lucid.h>
#include <malloc.h>
#include <unistd.h>

static void options_are_set_and_got(void **state) {
    (void)state;
    char value[32];
    assert_int_equal(lucid_option_set("purge_age", "3s"), 0);
    assert_int_equal(lucid_option_get("purge_age", value, sizeof(value)), 0);
    assert_string_equal(value, "3s");
    assert_int_equal(root.live.options.value[OPTION_PURGE_AGE], 3000);
    assert_int_equal(root.live.options.source[OPTION_PURGE_AGE], SOURCE_PROGRAM);
    assert_int_equal(root.live.giving.age, 3000);
    assert_int_equal(lucid_option_set("PURGE", "off"), 0);
    assert_int_equal(lucid_option_get("Purge", value, 2), 0);
    assert_string_equal(value, "0");
    assert_int_equal(lucid_option_set("purge", "1"), 0);
    assert_int_equal(lucid_option_set("purge_age", "500"), 0);
}

#define BURST 4000u

// Units that wait to be given back after a burst of blocks that are not large.
static uint64_t after_a_burst(void) {
    static void *blocks[BURST];
    for (unsigned i = 0; i < BURST; i++) {
        blocks[i] = lucid_malloc(8000);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, 8000);
    }
    for (unsigned i = 0; i < BURST; i++) {
        lucid_free(blocks[i]);
    }
    return release_possible();
}

// Without another call to the allocator.
static bool goes_back(uint64_t most) {
    for (unsigned i = 0; i < 500 && release_possible() > most; i++) {
        (void)usleep(10000);
    }
    return release_possible() <= most;
}

// Where there can be no helper, freeing alone gives back.
static bool has_helpers(void) {
    bool there = helper_call();
    helper_pause();
    helper_resume();
    return there;
}

static void what_is_free_follows_the_options(void **state) {
    (void)state;
    uint64_t few = helper_start_units() + helper_keep_units();
    if (!has_helpers()) {
        skip();
    }
    assert_int_equal(lucid_option_set("purge", "0"), 0);
    assert_int_equal(lucid_option_set("purge_age", "20"), 0);
    assert_true(after_a_burst() > few);
    assert_int_equal(lucid_option_set("purge", "1"), 0);
    assert_true(goes_back(few));
    assert_int_equal(lucid_option_set("purge_age", "1000s"), 0); // a helper comes, and rests
    assert_true(after_a_burst() > few);
    (void)usleep(20000);
    assert_true(release_possible() > few);
    assert_int_equal(lucid_option_set("purge_age", "20"), 0);
    assert_true(goes_back(few));
    assert_int_equal(lucid_option_set("helper", "0"), 0);
    helper_pause(); // the one there was leaves
    helper_resume();
    assert_true(after_a_burst() > few);
    assert_int_equal(lucid_option_set("helper", "1"), 0);
    assert_true(goes_back(few));
    assert_int_equal(lucid_option_set("purge_age", "500"), 0);
}

static void require_error(int result, int number) {
    assert_int_equal(result, -1);
    assert_int_equal(errno, number);
}

static void wrong_options(void **state) {
    (void)state;
    char value[32] = "as before";
    require_error(lucid_option_set("purges", "1"), ENOENT);
    require_error(lucid_option_set("", "1"), ENOENT);
    require_error(lucid_option_get("purges", value, sizeof(value)), ENOENT);
    require_error(lucid_option_set("purge_age", "soon"), EINVAL);
    require_error(lucid_option_set("purge_age", ""), EINVAL);
    require_error(lucid_option_set("mmap_threshold", "1"), EINVAL);
    require_error(lucid_option_get("mmap_threshold", value, 0), ERANGE);
    require_error(lucid_option_get("mmap_threshold", value, 3), ERANGE); // "32M" and its end
    assert_string_equal(value, "as before");
}

// Whatever may not change keeps its value; whatever may takes the one it has.
static void table_says_what_may_be_set(void **state) {
    (void)state;
    for (unsigned i = 0; i < OPTION_COUNT; i++) {
        char value[32];
        const struct option_row *row = &option_table[i];
        uint64_t before = root.live.options.value[i];
        assert_int_equal(lucid_option_get(row->name, value, sizeof(value)), 0);
        if (row->moment == ANY_TIME) {
            assert_int_equal(lucid_option_set(row->name, value), 0);
        } else {
            require_error(lucid_option_set(row->name, value), EPERM);
        }
        assert_int_equal(root.live.options.value[i], before);
    }
}

static void mallopt_acts_or_refuses(void **state) {
    (void)state;
    static const struct {
        int parameter, value, result;
    } rows[] = {
        {M_MMAP_THRESHOLD, -1, 0},
        {M_MMAP_THRESHOLD, INT32_MAX, 0},
        {M_MMAP_MAX, 65536, 1},
        {M_MMAP_MAX, -1, 0},
        {M_MXFAST, 160, 1},
        {M_MXFAST, 161, 0},
        {M_MXFAST, -1, 0},
        {M_TOP_PAD, 0, 1},
        {M_PERTURB, 0, 1},
        {M_PERTURB, 7, 0},
        {M_PERTURB, 256, 1},
        {M_ARENA_MAX, 1, 1},
        {M_ARENA_MAX, 0, 0},
        {M_ARENA_TEST, 8, 1},
        {M_CHECK_ACTION, 3, 1},
        {4711, 1, 0},
        {0, 0, 0},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(lucid_mallopt(rows[i].parameter, rows[i].value), rows[i].result);
    }
    const uint64_t *value = root.live.options.value;
    assert_int_equal(lucid_mallopt(M_MMAP_THRESHOLD, 1 << 20), 1);
    assert_int_equal(value[OPTION_MMAP_THRESHOLD], 1 << 20);
    assert_int_equal(lucid_mallopt(M_MMAP_THRESHOLD, 1), 1); // small blocks never have one
    assert_int_equal(value[OPTION_MMAP_THRESHOLD], SMALL_MAX);
    assert_int_equal(lucid_mallopt(M_MMAP_MAX, 0), 1);
    assert_int_equal(value[OPTION_MMAP_THRESHOLD], MAPPING_THRESHOLD_MAX);
    assert_int_equal(lucid_mallopt(M_MMAP_THRESHOLD, MAPPING_THRESHOLD), 1);
    assert_int_equal(lucid_mallopt(M_TRIM_THRESHOLD, -1), 1);
    assert_int_equal(value[OPTION_PURGE], 0);
    assert_int_equal(lucid_mallopt(M_TRIM_THRESHOLD, 128 << 10), 1);
    assert_int_equal(value[OPTION_PURGE], 1);
    assert_int_equal(lucid_mallopt(M_TRIM_THRESHOLD, INT_MIN), 1); // as a size_t: enormous
    assert_int_equal(value[OPTION_PURGE], 0);
    assert_int_equal(lucid_mallopt(M_TRIM_THRESHOLD, 0), 1);
    assert_int_equal(value[OPTION_PURGE], 1);
}

// A program of another version: its struct ends earlier or later.
static void stats_of_other_sizes(void **state) {
    (void)state;
    struct {
        struct lucid_stats stats;
        uint64_t later[2];
    } newer = {.later = {7, 7}};
    struct lucid_stats older;
    memset(&older, 0x77, sizeof(older));
    void *block = lucid_malloc(1000);
    older.size = offsetof(struct lucid_stats, small_blocks);
    assert_int_equal(lucid_stats_get(&older), 0);
    assert_int_equal(older.size, offsetof(struct lucid_stats, small_blocks));
    assert_true(older.live_blocks > 0 && older.live_bytes >= 1000);
    assert_int_equal(older.small_blocks, 0x7777777777777777u);
    newer.stats.size = sizeof(newer);
    assert_int_equal(lucid_stats_get(&newer.stats), 0);
    assert_int_equal(newer.stats.size, sizeof(newer.stats));
    assert_int_equal(newer.stats.live_bytes, older.live_bytes);
    assert_int_equal(newer.later[0] | newer.later[1], 0);
    require_error(lucid_stats_get(NULL), EINVAL);
    older.size = 0;
    require_error(lucid_stats_get(&older), EINVAL);
    older.size = 8;
    require_error(lucid_stats_get(&older), EINVAL);
    older.size = SIZE_MAX; // never set
    require_error(lucid_stats_get(&older), EINVAL);
    lucid_free(block);
}

static void writers_tell_errors(void **state) {
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    require_error(lucid_stats_print_json(-1), EBADF);
    require_error(lucid_stats_print_openmetrics(-1), EBADF);
    if (full >= 0) {
        require_error(lucid_stats_print_json(full), ENOSPC);
        require_error(lucid_stats_print_openmetrics(full), ENOSPC);
        (void)close(full);
    }
}

static struct lucid_stats get(void) {
    struct lucid_stats stats = {.size = sizeof(stats)};
    assert_int_equal(lucid_stats_get(&stats), 0);
    return stats;
}

static void peaks_of_mappings_stay(void **state) {
    (void)state;
    size_t size = MAPPING_THRESHOLD + 1;
    void *one = lucid_malloc(size);
    void *two = lucid_malloc(size);
    assert_true(one != NULL && two != NULL);
    assert_int_equal(get().mapping_bytes, 2 * size);
    one = lucid_realloc(one, 2 * size);
    assert_int_equal(get().mapping_bytes, 3 * size);
    lucid_free(one);
    lucid_free(two);
    assert_int_equal(get().mapping_blocks, 0);
    assert_int_equal(get().mapping_bytes, 0);
    assert_int_equal(root.live.mappings.most_count, 2);
    assert_true(root.live.mappings.most_bytes >= 3 * size);
}

// One that is written by nobody takes no memory: its size is beyond what an int can say.
static void mallinfo_does_not_wrap(void **state) {
    (void)state;
    void *block = lucid_malloc((size_t)3 << 30);
    if (block == NULL) {
        return; // no address space
    }
    assert_int_equal(lucid_mallinfo().hblkhd, INT32_MAX);
    assert_true(lucid_mallinfo2().hblkhd >= (size_t)3 << 30);
    lucid_free(block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_set_and_got),
        cmocka_unit_test(wrong_options),
        cmocka_unit_test(table_says_what_may_be_set),
        cmocka_unit_test(mallopt_acts_or_refuses),
        cmocka_unit_test(stats_of_other_sizes),
        cmocka_unit_test(writers_tell_errors),
        cmocka_unit_test(peaks_of_mappings_stay),
        cmocka_unit_test(mallinfo_does_not_wrap),
        cmocka_unit_test(what_is_free_follows_the_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
