// block_of: the one place where a pointer becomes what is known about it. Right pointers give the
// right numbers; each kind of wrong one ends a child of this program with the right words.
#include "block.h"

#include "heap.h"
#include "init.h"
#include "invariants.h"
#include "setups.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#define COUNT 40

static void every_size(void **state) {
    (void)state;
    for (size_t size = 0; size <= SMALL_MAX; size += size < 600 ? 1 : 97) {
        char *pointer = lucid_malloc(size);
        struct block block = block_of(pointer, "free");
        unsigned class = sizeclass_of(size == 0 ? 1 : size);
        assert_int_equal(block.kind, BLOCK_SMALL);
        assert_int_equal(block.class, class);
        assert_int_equal(block.size, sizeclass_size(class));
        assert_int_equal(run_load(block.head), run_shape(RUN_SPAN, sizeclass_table[class].units));
        size_t offset = (uintptr_t)pointer - unit_address(block.head);
        assert_int_equal(offset % block.size, 0);
        assert_true(offset / block.size < sizeclass_table[class].blocks);
        lucid_free(pointer);
    }
}

// Spans of several units: every block of one is found, whichever of the units it begins in.
static void every_block_of_a_span(void **state) {
    (void)state;
    static const size_t sizes[] = {16, 640, 7168, 12288, 14336, 32768};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *blocks[COUNT];
        for (unsigned j = 0; j < COUNT; j++) {
            blocks[j] = lucid_malloc(sizes[i]);
        }
        for (unsigned j = 0; j < COUNT; j++) {
            struct block block = block_of(blocks[j], "free");
            assert_int_equal(block.kind, BLOCK_SMALL);
            assert_int_equal(block.size, sizes[i]);
            assert_int_equal(run_at(block.head)->class, block.class);
        }
        for (unsigned j = 0; j < COUNT; j++) {
            lucid_free(blocks[j]);
        }
    }
}

static void large_and_mapping(void **state) {
    (void)state;
    size_t page = root.fixed.page_size;
    static const size_t larges[] = {SMALL_MAX + 1, 100000, 5000000};
    for (size_t i = 0; i < sizeof(larges) / sizeof(larges[0]); i++) {
        char *large = lucid_malloc(larges[i]);
        struct block block = block_of(large, "free");
        assert_int_equal(block.kind, BLOCK_LARGE);
        assert_int_equal(unit_address(block.head), (uintptr_t)large);
        assert_int_equal(block.size, align_up(larges[i], page));
        lucid_free(large);
    }
    char *mapping = lucid_malloc(MAPPING_THRESHOLD + 1);
    struct block block = block_of(mapping, "free");
    assert_int_equal(block.kind, BLOCK_MAPPING);
    assert_int_equal(block.head, 0);
    assert_true(block.size > MAPPING_THRESHOLD && block.size <= MAPPING_THRESHOLD + 2 * page);
    lucid_free(mapping);
}

// ---- misuse: each in a child of its own ---------------------------------------------------------

// What large and mapping below were asked for, as the report has it.
#define LARGE_SIZE 655360
#define LARGE "655360"
#define MAPPED "33554433"
_Static_assert(LARGE_SIZE >= 10 * UNIT_SIZE && MAPPING_THRESHOLD + 1 == 33554433, "as the tests");

static char *small; // in use
static char *large;
static char *mapping;

static const void *off_by_one(void) {
    return small + 1;
}

static const void *off_by_eight(void) {
    return large + 8;
}

static const void *inside_small(void) {
    return small + 32;
}

static const void *inside_large(void) {
    return large + 16;
}

static const void *far_inside_large(void) {
    return large + 5 * UNIT_SIZE;
}

static const void *inside_mapping(void) {
    return mapping + 16;
}

// Behind what was asked for, but not behind what may be used.
static const void *end_of_mapping(void) {
    return mapping + align_up(MAPPING_THRESHOLD + 1, root.fixed.page_size) - 16;
}

static const void *unaligned_in_mapping(void) {
    return mapping + 3;
}

static const void *on_the_stack(void) {
    static _Thread_local _Alignas(16) char mine[16];
    return mine;
}

static const void *below_the_arena(void) {
    return (const void *)(root.fixed.base - UNIT_SIZE);
}

static const void *in_unit_zero(void) {
    return (const void *)root.fixed.base;
}

static const void *beyond_the_arena(void) {
    return (const void *)unit_address((uint32_t)root.live.limit);
}

static const void *in_the_tables(void) {
    return root.fixed.units;
}

static const void *behind_the_top(void) {
    while (root.live.top == root.live.limit) {
        assert_non_null(lucid_malloc(SMALL_MAX + 1)); // until the arena grows by a whole step
    }
    return (const void *)unit_address((uint32_t)root.live.top);
}

static const void *freed_large(void) {
    lucid_free(large);
    return large;
}

static const void *freed_mapping(void) {
    lucid_free(mapping);
    return mapping;
}

static const void *freed_into_the_bin(void) {
    lucid_free(small);
    return small;
}

static atomic_bool was_freed;

static void *free_and_stay(void *block) {
    lucid_free(lucid_malloc(112)); // the thread has a bin
    lucid_free(block);
    atomic_store(&was_freed, true);
    for (;;) {
        (void)pause();
    }
    return NULL;
}

static const void *freed_into_anothers_bin(void) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_and_stay, small), 0);
    while (!atomic_load(&was_freed)) {
        (void)sched_yield();
    }
    return small;
}

static const void *freed_into_the_span(void) {
    lucid_free(small);
    heap_verify();
    memset(small, 0, 16); // the mark is a hint only: the free bit is enough
    return small;
}

static const void *never_handed_out(void) {
    struct block block = block_of(small, "free");
    unsigned carved = run_at(block.head)->carved;
    assert_true(carved < sizeclass_table[block.class].blocks);
    return (const void *)(unit_address(block.head) + carved * block.size);
}

static const void *in_the_tail_of_a_span(void) {
    struct block block = block_of(small, "free");
    const struct sizeclass *row = &sizeclass_table[block.class];
    return (const void *)(unit_address(block.head) + (size_t)row->blocks * row->size);
}

struct misuse {
    const void *(*make)(void);
    const char *function;
    const char *words; // how the line goes on after PROG(PID) lucid:
    const char *details;
};

static const struct misuse misuses[] = {
    {off_by_one, "free", "free(): unaligned pointer 0x", "1 bytes into the 112-byte block 0x"},
    {off_by_eight, "free", "free(): unaligned pointer 0x",
     "8 bytes into the " LARGE "-byte large block 0x"},
    {inside_small, "free", "free(): pointer into the middle of a block 0x",
     "32 bytes into the 112-byte block 0x"},
    {inside_large, "realloc", "realloc(): pointer into the middle of a block 0x",
     "16 bytes into the " LARGE "-byte large block 0x"},
    {far_inside_large, "free", "free(): pointer into the middle of a block 0x",
     " bytes into the " LARGE "-byte large block 0x"},
    {inside_mapping, "free", "free(): pointer into the middle of a block 0x",
     "16 bytes into the " MAPPED "-byte mapped block 0x"},
    {end_of_mapping, "realloc", "realloc(): pointer into the middle of a block 0x",
     " bytes into the " MAPPED "-byte mapped block 0x"},
    {unaligned_in_mapping, "free", "free(): unaligned pointer 0x",
     "3 bytes into the " MAPPED "-byte mapped block 0x"},
    {on_the_stack, "free", "free(): pointer freed already or never given out 0x",
     "in no block of lucid's"},
    {below_the_arena, "free", "free(): pointer freed already or never given out 0x",
     "in no block of lucid's"},
    {in_unit_zero, "free", "free(): pointer freed already or never given out 0x",
     "in a free part of the arena"},
    {beyond_the_arena, "free", "free(): pointer freed already or never given out 0x",
     "in no block of lucid's"},
    {in_the_tables, "free", "free(): pointer freed already or never given out 0x",
     "in no block of lucid's"},
    {behind_the_top, "free", "free(): pointer freed already or never given out 0x",
     "in a free part of the arena"},
    {freed_large, "free", "free(): pointer freed already or never given out 0x",
     "in a free part of the arena"},
    {freed_mapping, "free", "free(): pointer freed already or never given out 0x",
     "in no block of lucid's"},
    {freed_into_the_bin, "free", "free(): double free of 0x", "112-byte block of span 0x"},
    {freed_into_anothers_bin, "free", "free(): double free of 0x", "112-byte block of span 0x"},
    {freed_into_the_bin, "realloc", "realloc(): use of the free block 0x",
     "112-byte block of span 0x"},
    {freed_into_the_span, "free", "free(): double free of 0x", "112-byte block of span 0x"},
    {freed_into_the_span, "malloc_usable_size", "malloc_usable_size(): use of the free block 0x",
     "112-byte block of span 0x"},
    {never_handed_out, "free", "free(): pointer to a block never handed out 0x",
     "112-byte block of span 0x"},
    {in_the_tail_of_a_span, "free", "free(): pointer to a block never handed out 0x",
     "112-byte block of span 0x"},
};

static void run_child(const struct misuse *misuse, int end) {
    (void)dup2(end, STDERR_FILENO);
    const void *pointer = misuse->make();
    (void)dprintf(end, "%p\n", pointer); // what the line has to name
    struct block block = block_of(pointer, misuse->function);
    (void)dprintf(end, "passed as a block of %zu bytes\n", block.size);
    _exit(0);
}

static void check_misuse(const struct misuse *misuse) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        run_child(misuse, ends[1]);
    }
    (void)close(ends[1]);
    char text[1000] = {0};
    size_t length = 0;
    for (ssize_t more = 1; more > 0 && length < sizeof(text) - 1; length += (size_t)more) {
        more = read(ends[0], text + length, sizeof(text) - 1 - length);
        assert_true(more >= 0);
    }
    (void)close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    char *line = strchr(text, '\n');
    assert_non_null(line);
    *line++ = '\0';
    char expected[1200];
    (void)snprintf(expected, sizeof(expected), "unit_block(%d) lucid: %s%s (", child, misuse->words,
                   text + 2);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
        strncmp(line, expected, strlen(expected)) != 0 || strstr(line, misuse->details) == NULL ||
        strcmp(line + strlen(line) - 2, ")\n") != 0) {
        fail_msg("status %x and '%s' instead of '%s…%s…)'", status, line, expected,
                 misuse->details);
    }
}

static void misuse_is_told(void **state) {
    (void)state;
    small = lucid_malloc(112);
    char *neighbour = lucid_malloc(112); // keeps their span in existence
    large = lucid_malloc(LARGE_SIZE);
    mapping = lucid_malloc(MAPPING_THRESHOLD + 1);
    assert_true(small != NULL && neighbour != NULL && large != NULL && mapping != NULL);
    for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
        check_misuse(&misuses[i]);
    }
    // The parent's heap has seen none of it.
    lucid_free(small);
    lucid_free(neighbour);
    lucid_free(large);
    lucid_free(mapping);
    invariants_check(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),
        cmocka_unit_test(every_block_of_a_span),
        cmocka_unit_test(large_and_mapping),
        cmocka_unit_test(misuse_is_told),
    };
    return cmocka_run_group_tests(tests, with_set_threshold, NULL);
}
