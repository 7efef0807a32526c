// Reports that no program is sure to bring about: of two threads that free one block at the same
// moment, of a start that fails, and of damaged tables. Each is played in a child of its own.
#include "panic.h"

#include "arena.h"
#include "block.h"
#include "fence.h"
#include "free.h"
#include "guard.h"
#include "harden.h"
#include "init.h"
#include "large.h"
#include "os/os.h"
#include "region.h"
#include "span.h"
#include "unit.h"

#include <errno.h>
#include <lucid.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

// What the child writes to standard error until it ends.
static void read_all(int file, char *text, size_t room) {
    size_t length = 0;
    ssize_t got;
    while (length + 1 < room && (got = read(file, text + length, room - 1 - length)) > 0) {
        length += (size_t)got;
    }
    text[length] = '\0';
}

// `act` must end the process with SIGABRT and a report that has this in its first line.
static void require_report(void (*act)(void), const char *expected, char *text, size_t room) {
    int ends[2];
    int status = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(60);
        (void)dup2(ends[1], STDERR_FILENO);
        act();
        _exit(0);
    }
    (void)close(ends[1]);
    read_all(ends[0], text, room);
    (void)close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    const char *found = strstr(text, expected);
    if (found == NULL || strchr(text, '\n') < found) {
        fail_msg("\"%s\" instead of a line with \"%s\"", text, expected);
    }
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

// The same, and the line is all that is said.
static void require_end(void (*act)(void), const char *expected) {
    char text[500];
    require_report(act, expected, text, sizeof(text));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

// ---- two frees of one block at once -------------------------------------------------------------
// Both have looked at the block and found it in use; what the second one found is no longer true.

static void *kept_small[SPAN_BLOCKS_MAX];

static void large_twice(size_t size) {
    void *block = lucid_malloc(size);
    struct block found = block_of(block, "free");
    lucid_free(block);
    large_free(block, &found, "free");
}

static void run_twice(void) {
    large_twice(200000);
}

static void mapping_twice(void) {
    large_twice(MAPPING_THRESHOLD + MIB);
}

// Enough blocks for two spans; the first one is gone when its last block goes, the second lives.
static void span_gone_meanwhile(void) {
    const unsigned blocks = sizeclass_table[sizeclass_of(3000)].blocks * 2u;
    for (unsigned i = 0; i < blocks; i++) {
        kept_small[i] = lucid_malloc(3000);
    }
    for (unsigned i = 0; i < blocks; i++) {
        lucid_free(kept_small[i]);
    }
    (void)lucid_malloc_trim(0);
    (void)span_give_all(sizeclass_of(3000), kept_small, 1, "free");
}

static void region_twice(size_t size) {
    lucid_heap *heap = lucid_heap_new("twice");
    void *block = lucid_heap_alloc(heap, size);
    struct block found = block_of(block, "lucid_heap_free");
    lucid_heap_free(heap, block);
    region_free(block, &found, "lucid_heap_free");
}

static void region_small_twice(void) {
    region_twice(100);
}

static void region_run_twice(void) {
    region_twice(200000);
}

static void region_mapping_twice(void) {
    region_twice(MAPPING_THRESHOLD + MIB);
}

static void region_emptied_meanwhile(void) {
    lucid_heap *heap = lucid_heap_new("emptied");
    void *block = lucid_heap_alloc(heap, 100);
    struct block found = block_of(block, "lucid_heap_free");
    lucid_heap_free_all(heap);
    region_free(block, &found, "lucid_heap_free");
}

static void region_ended_twice(void) {
    lucid_heap *heap = lucid_heap_new("ended");
    lucid_heap_destroy(heap);
    region_destroy((struct lucid_region *)heap);
}

static void hardened_twice(void) {
    (void)setenv("LUCID_OPTIONS", "harden=1", 1);
    void *block = lucid_malloc(100);
    struct block found = block_of(block, "free");
    harden_free(block, found.class, found.size, "free");
    harden_free(block, found.class, found.size, "free");
}

static void fenced_twice(void) {
    (void)setenv("LUCID_OPTIONS", "harden=1", 1);
    void *block = lucid_malloc(MIB);
    fence_free(block, "free");
    fence_free(block, "free");
}

static void guarded_twice(void) {
    (void)setenv("LUCID_OPTIONS", "guard=1/1", 1);
    char *block = lucid_malloc(100);
    while (!guard_holds(block)) {
        block = lucid_malloc(100);
    }
    struct guard_slot *slot = root.live.guard->slots;
    while (slot->address != (uintptr_t)block) {
        slot++;
    }
    atomic_store(&slot->state, SLOT_FREEING); // by another thread, which has come as far as this
    guard_free(block, "free");
}

static void frees_at_once_are_found(void **state) {
    (void)state;
    char text[4000];
    require_end(run_twice, " lucid: free(): double free of 0x");
    require_end(mapping_twice, " lucid: free(): double free of 0x");
    require_end(span_gone_meanwhile, " lucid: free(): double free (its span is gone) of 0x");
    require_end(region_small_twice, " lucid: lucid_heap_free(): double free of 0x");
    require_end(region_run_twice, " lucid: lucid_heap_free(): double free of 0x");
    require_end(region_mapping_twice, " lucid: lucid_heap_free(): double free of 0x");
    require_end(region_emptied_meanwhile, " lucid: lucid_heap_free(): double free of 0x");
    require_end(region_ended_twice, " lucid: lucid_heap_destroy(): use of the destroyed heap 0x");
    require_end(hardened_twice, " lucid: free(): double free of 0x");
    require_end(fenced_twice, " lucid: free(): double free of 0x");
    require_report(guarded_twice, " lucid: free(): double free of 0x", text, sizeof(text));
}

// ---- blocks with a mapping of their own ---------------------------------------------------------
// They are in no table that the report itself reads.

static void mapping_of_wrong_size(void) {
    lucid_free_sized(lucid_malloc(100 * MIB), 10);
}

static void mapping_of_wrong_alignment(void) {
    char *block = lucid_malloc(100 * MIB);
    lucid_free_aligned_sized(block, (size_t)1 << 46, 100 * MIB);
}

static void mapping_of_another_heap(void) {
    lucid_heap *heap = lucid_heap_new("without");
    lucid_heap_free(heap, lucid_malloc(100 * MIB));
}

static void mapping_that_is_no_heap(void) {
    lucid_heap_free_all((lucid_heap *)((char *)lucid_malloc(100 * MIB) + 4096));
}

static void fenced_overflow(void) {
    (void)setenv("LUCID_OPTIONS", "harden=1", 1);
    char *block = lucid_malloc(99999);
    block[99999] ^= 1;
    lucid_free(block);
}

static void fenced_interior(void) {
    (void)setenv("LUCID_OPTIONS", "harden=1", 1);
    lucid_free((char *)lucid_malloc(MIB) + 4096);
}

static void fenced_used_after_free(void) {
    (void)setenv("LUCID_OPTIONS", "harden=1", 1);
    void *block = lucid_malloc(MIB);
    lucid_free(block);
    (void)lucid_realloc(block, 10);
}

static void mappings_are_named(void **state) {
    (void)state;
    require_end(mapping_of_wrong_size, " (104857600-byte mapped block)\n");
    require_end(mapping_of_wrong_alignment, " (104857600-byte mapped block)\n");
    require_end(mapping_of_another_heap, " (104857600-byte mapped block)\n");
    require_end(mapping_that_is_no_heap, " (4096 bytes into the 104857600-byte mapped block 0x");
    require_end(fenced_overflow, " (99999-byte mapped block)\n");
    require_end(fenced_interior, " (4096 bytes into the 1048576-byte mapped block 0x");
    require_end(fenced_used_after_free, " lucid: realloc(): use of the free block 0x");
}

// ---- no start -----------------------------------------------------------------------------------
// The system refuses all addresses, so that nothing can have come from lucid.

static _Alignas(64) char foreign[64];

static void refuse_the_start(void) {
    (void)os_inject(OS_RESERVE, 1, true);
    (void)os_inject(OS_MAP, 1, true);
}

static void free_unstarted(void) {
    refuse_the_start();
    lucid_free(foreign);
}

static void free_sized_unstarted(void) {
    refuse_the_start();
    lucid_free_sized(foreign, 10);
}

static void free_sized_slow_unstarted(void) {
    refuse_the_start();
    free_sized_slow(foreign, 10, "operator delete");
}

static void realloc_unstarted(void) {
    refuse_the_start();
    (void)lucid_realloc(foreign, 10);
}

static void usable_size_unstarted(void) {
    refuse_the_start();
    (void)lucid_malloc_usable_size(foreign);
}

static void heap_unstarted(void) {
    refuse_the_start();
    (void)lucid_heap_alloc((lucid_heap *)foreign, 10);
}

static void nothing_is_ours_without_a_start(void **state) {
    (void)state;
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip(); // without faults to inject
    }
    const char *sentence = "pointer that lucid never gave out 0x";
    const char *details = " (nothing was given out so far)\n";
    require_end(free_unstarted, sentence);
    require_end(free_unstarted, details);
    require_end(free_sized_unstarted, sentence);
    require_end(free_sized_slow_unstarted, sentence);
    require_end(realloc_unstarted, sentence);
    require_end(usable_size_unstarted, sentence);
    require_end(heap_unstarted, "lucid_heap_alloc(): pointer that is no heap 0x");
}

// ---- damage -------------------------------------------------------------------------------------

// A free run, longer than those of which lanes keep several, between two that are in use. Returns
// its first unit.
static uint32_t free_run(void) {
    const size_t size = (LOOSE_UNITS_MAX + 1) * UNIT_SIZE;
    char *blocks[3];
    for (unsigned i = 0; i < 3; i++) {
        blocks[i] = lucid_malloc(size);
        memset(blocks[i], 1, size);
    }
    uint32_t head = unit_of((uintptr_t)blocks[1]);
    lucid_free(blocks[1]);
    arena_drain(0); // the last of the long ones is kept, too
    arena_check();
    return head;
}

static void no_run(void) {
    (void)free_run();
    run_store(1, RUN_NONE, 0);
    arena_check();
}

static void wrong_dirty_count(void) {
    run_at(free_run())->dirty++;
    arena_check();
}

static void run_beyond_top(void) {
    uint32_t top = (uint32_t)atomic_load(&root.live.top);
    uint32_t head = unit_of((uintptr_t)lucid_malloc(200000));
    run_store(head, RUN_LARGE, top + 100 - head);
    arena_check();
}

static void wrong_pool(void) {
    (void)free_run();
    root.live.pool.free_units++;
    arena_check();
}

// Only a checked build looks at a span whenever its state changes.
static void wrong_count(void) {
    uint32_t unit = unit_of((uintptr_t)lucid_malloc(100));
    uint32_t head = unit - root.fixed.units[unit].back;
    run_at(head)->free[0] ^= 1;
    span_check(head);
    panic_broken("an ordinary build does not look at unit", head);
}

static void damaged_span(void) {
    void *block = lucid_malloc(100);
    uint32_t unit = unit_of((uintptr_t)block);
    run_at(unit - root.fixed.units[unit].back)->class = 0;
    panic_misuse("free", "double free of", block);
}

static void damage_is_found(void **state) {
    (void)state;
    require_end(no_run, " lucid: arena: no run begins at unit 0x1\n");
    require_end(wrong_dirty_count, " lucid: arena: wrong count of dirty units in run 0x");
    require_end(run_beyond_top, " lucid: arena: the runs do not end at top but at unit 0x");
    require_end(wrong_pool, " lucid: arena: the pool's counts are wrong; free units 0x");
    require_end(wrong_count, LUCID_CHECKED ? " lucid: span's count differs from its bits at unit 0x"
                                           : " lucid: an ordinary build does not look at unit 0x");
    require_end(damaged_span, " (in a damaged span)\n");
}

// ---- memory of others ---------------------------------------------------------------------------

// The arena has grown past it when it is freed.
static void foreign_break(void) {
    lucid_free(lucid_malloc(100));
    char *other = sbrk(3 * (intptr_t)UNIT_SIZE);
    char *aligned = (char *)align_up((uintptr_t)other, UNIT_SIZE);
    for (unsigned i = 0; i < 1000 && !in_arena((uintptr_t)aligned); i++) {
        (void)lucid_malloc(200000);
    }
    lucid_free(aligned);
}

static void foreign_memory_is_told(void **state) {
    (void)state;
    require_end(foreign_break, " (in memory that somebody else took with sbrk)\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frees_at_once_are_found),         cmocka_unit_test(mappings_are_named),
        cmocka_unit_test(nothing_is_ours_without_a_start), cmocka_unit_test(damage_is_found),
        cmocka_unit_test(foreign_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
