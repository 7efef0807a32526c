// Where the tables lie, and how they open.
#include "init.h"
#include "meta.h"
#include "os/os.h"
#include "root.h"
#include "tables.h"
#include "testing.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH ((size_t)120 << 30)

static void needs_injection(void) {
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip();
    }
}

// Tries many places: all lie in [low, high), and everywhere there.
static void all_lie_within(uintptr_t stack, uintptr_t low, uintptr_t high) {
    uint64_t random = test_seed();
    uintptr_t least = UINTPTR_MAX;
    uintptr_t most = 0;
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t number = (uint64_t)test_random(&random) << 33 ^ test_random(&random);
        uintptr_t place = tables_place(stack, LENGTH, number);
        assert_true(low <= place && place + LENGTH <= high);
        assert_int_equal(place % os_page_size(), 0);
        least = place < least ? place : least;
        most = place > most ? place : most;
    }
    assert_true(most - least > (high - low - LENGTH) / 100 * 99);
}

static void the_place_is_below_programs(void **state) {
    (void)state;
    assert_true(init_ready());
    // 47 bits: 0x550000000000 is where the thread sanitizer's runtime lets programs begin.
    all_lie_within(0x7ffc12345678, 0x550000000000, 0x555555554000);
    all_lie_within(0x7f0000000000, 0x550000000000, 0x555555554000); // a thread's stack
    all_lie_within(0xfffffffff000, 0xaa0000000000, 0xaaaaaaaa8000); // 48 bits
}

static void a_small_address_space_has_none(void **state) {
    (void)state;
    assert_int_equal(tables_place(0x7ffffff000, LENGTH, 1), 0);  // 39 bits
    assert_int_equal(tables_place(0x3ffffffffff, LENGTH, 1), 0); // 42 bits
    assert_int_equal(tables_place(1, LENGTH, 1), 0);
    assert_int_equal(tables_place(0x7ffc12345678, (size_t)400 << 30, 1), 0);
}

static bool is_mapped(uintptr_t start, uintptr_t end) {
    FILE *file = fopen("/proc/self/maps", "r");
    assert_non_null(file);
    unsigned long from = 0;
    unsigned long to = 0;
    bool found = false;
    char line[4400];
    while (fgets(line, sizeof(line), file) != NULL) {
        assert_int_equal(sscanf(line, "%lx-%lx", &from, &to), 2);
        found = found || (from < end && start < to);
    }
    (void)fclose(file);
    return found;
}

static void what_is_not_used_is_not_mapped(void **state) {
    (void)state;
    assert_true(init_ready());
    if (root.fixed.tables_reserved) {
        skip(); // as under emulators and valgrind
    }
    assert_false(is_mapped(root.fixed.meta_start, root.live.meta_committed));
    assert_false(is_mapped(
        align_up((uintptr_t)(root.fixed.units + root.live.committed), root.fixed.page_size),
        (uintptr_t)root.fixed.runs));
    assert_false(is_mapped((uintptr_t)(root.fixed.runs + root.live.committed),
                           (uintptr_t)(root.fixed.runs + root.fixed.capacity)));
}

// What failed in the middle can be done later: either call of the two may fail.
static void an_opening_that_failed_is_repeated(void **state) {
    (void)state;
    needs_injection();
    // Of large pages there are units to spare.
    uint32_t calls = root.fixed.page_size > 16384 ? 1 : 2;
    for (uint32_t nth = 1; nth <= calls; nth++) {
        uint64_t committed = root.live.committed;
        (void)os_inject(root.fixed.tables_reserved ? OS_COMMIT : OS_MAP, nth, false);
        assert_false(tables_cover(committed + 1));
        assert_int_equal(root.live.committed, committed);
        assert_true(tables_cover(committed + 1));
        assert_true(root.live.committed > committed);
        root.fixed.units[root.live.committed - 1] = (struct unit){0};
        root.fixed.runs[root.live.committed - 1].shape = 0;
    }
}

// The child of a fork finds what another thread was opening mapped, and not noted as open.
static void what_a_fork_cuts_off_is_repeated(void **state) {
    (void)state;
    tables_after_fork(); // nothing was cut off
    uint64_t committed = root.live.committed;
    uintptr_t meta = root.live.meta_committed;
    assert_true(tables_cover(committed + 1));
    assert_true(tables_cover_meta(meta - 1));
    root.live.committed = committed;
    root.live.meta_committed = meta;
    tables_after_fork();
    assert_true(tables_cover(committed + 1));
    assert_true(tables_cover_meta(meta - 1));
    tables_after_fork(); // now they are open, and stay so
    root.fixed.runs[root.live.committed - 1].shape = 0;
    root.fixed.units[root.live.committed - 1] = (struct unit){0};
    *(char *)(meta - 1) = 0;
}

static void there_is_an_end(void **state) {
    (void)state;
    assert_false(tables_cover(root.fixed.capacity + 1));
}

// A mapping of somebody else's is never written over, and costs the arena its growth only.
static void what_is_occupied_stays(void **state) {
    (void)state;
    if (root.fixed.tables_reserved) {
        skip();
    }
    size_t page = root.fixed.page_size;
    void *next = &root.fixed.runs[root.live.committed];
    char *other = mmap(next, page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_equal(other, next);
    other[0] = 'x';
    assert_false(tables_cover(root.live.committed + 1));
    assert_int_equal(other[0], 'x');
    assert_int_equal(munmap(other, page), 0);
    assert_true(tables_cover(root.live.committed + 1));
}

// The flag "nh" of the mapping in smaps.
static bool is_kept_small(const void *address) {
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    char line[4400];
    bool here = false;
    bool small = false;
    while (fgets(line, sizeof(line), file) != NULL) {
        unsigned long from = 0;
        unsigned long to = 0;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            here = from <= (uintptr_t)address && (uintptr_t)address < to;
        }
        small = small || (here && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " nh") != NULL);
    }
    (void)fclose(file);
    return small;
}

static void what_opens_later_is_kept_small_too(void **state) {
    (void)state;
    int file = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
    if (file < 0) {
        skip(); // a kernel without huge pages refuses the advice
    }
    (void)close(file);
    tables_keep_small();
    assert_true(is_kept_small(root.fixed.units));
    assert_true(is_kept_small(root.fixed.runs));
    uint64_t committed = root.live.committed;
    assert_true(tables_cover(committed + 1));
    assert_true(is_kept_small(&root.fixed.runs[root.live.committed - 1]));
    uintptr_t start = root.live.meta_committed - 2 * META_STEP;
    assert_true(tables_cover_meta(start));
    assert_true(is_kept_small((void *)start));
}

static void needs_no_place_apart(void **state) {
    (void)state;
    needs_injection();
    pid_t pid = fork();
    if (pid == 0) {
        memset(&root.live.giving, 0, sizeof(root.live.giving));
        (void)os_inject(OS_MAP, 1, false);
        // Anew, at another place; what is there already is of no use any more.
        _exit(mprotect(&root.fixed, PAGE_SIZE_MAX, PROT_READ | PROT_WRITE) == 0 && tables_begin() &&
                      root.fixed.tables_reserved && tables_cover(1) && meta_take(100) != NULL
                  ? 0
                  : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_place_is_below_programs),
        cmocka_unit_test(a_small_address_space_has_none),
        cmocka_unit_test(what_is_not_used_is_not_mapped),
        cmocka_unit_test(an_opening_that_failed_is_repeated),
        cmocka_unit_test(what_a_fork_cuts_off_is_repeated),
        cmocka_unit_test(there_is_an_end),
        cmocka_unit_test(what_is_occupied_stays),
        cmocka_unit_test(what_opens_later_is_kept_small_too),
        cmocka_unit_test(needs_no_place_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
