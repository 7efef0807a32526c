// A program break that does what it likes. The program defines sbrk itself, so that the allocator's
// calls come here.
//   breaks never|later|foreign-up|foreign-down|foreign-between|unknown|bottom-up
#include "testing.h"

#include <errno.h>
#include <lucid.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>

static const char *mode = ""; // plain before main, where others may allocate already
static unsigned calls;
static unsigned moves;

static uintptr_t break_raw(uintptr_t to) {
    return (uintptr_t)syscall(SYS_brk, to);
}

static void *move_raw(intptr_t by) {
    uintptr_t now = break_raw(0);
    uintptr_t wanted = (uintptr_t)((intptr_t)now + by);
    return by == 0 || break_raw(wanted) == wanted ? (void *)now : (void *)-1;
}

static bool is_mode(const char *name) {
    return strcmp(mode, name) == 0;
}

void *sbrk(intptr_t by) {
    calls++;
    if (is_mode("unknown") || is_mode("bottom-up")) {
        errno = ENOMEM;
        return (void *)-1;
    }
    if (by != 0) {
        moves++;
        if (is_mode("never") || (is_mode("later") && moves > 3)) {
            errno = ENOMEM;
            return (void *)-1;
        }
        if (is_mode("foreign-between")) { // somebody else moves it after the allocator has looked
            char *foreign = move_raw(5000);
            memset(foreign, 0xff, 5000);
        }
    }
    return move_raw(by);
}

static char *foreign[64];

// Another part of the program takes some of the break and writes to it; `down`: gives it back.
static void disturb(unsigned round, bool down) {
    intptr_t bytes = 1000 + (intptr_t)round * 777;
    foreign[round] = move_raw(bytes);
    REQUIRE(foreign[round] != (void *)-1, "the break");
    memset(foreign[round], (int)round, (size_t)bytes);
    if (down) {
        REQUIRE(move_raw(-bytes) != (void *)-1, "the break goes down");
        foreign[round] = NULL;
    }
}

static void require_foreign(unsigned round) {
    for (unsigned i = 0; i <= round; i++) {
        if (foreign[i] != NULL) {
            for (unsigned j = 0; j < 1000; j++) {
                REQUIRE((unsigned char)foreign[i][j] == i, "foreign memory %u is as it was", i);
            }
        }
    }
}

// Runs the program again with the layout in which the kernel places mappings upwards, as every
// machine with a small address space does: they lie where the arena would grow next.
static void go_bottom_up(char **values) {
    int now = personality(0xffffffff);
    if (now == -1 || (now & ADDR_COMPAT_LAYOUT) == 0) {
        if (now == -1 || personality((unsigned long)now | ADDR_COMPAT_LAYOUT) == -1) {
            puts("the layout of the address space cannot be chosen here");
            exit(SKIPPED);
        }
        (void)execv("/proc/self/exe", values);
    }
}

// In musl's case the arena begins behind the break, where the kernel puts no mapping.
static void require_in_the_way(bool is) {
#ifdef __GLIBC__
    REQUIRE(is, "one is in the way");
#else
    puts(is ? "mappings are in the way" : "no mapping is in the way");
#endif
}

static bool is_mapped(void *address) {
    unsigned char resident;
    return mincore(address, 1, &resident) == 0;
}

#define WAYS 6

// A mapping of a heap of the program's own, where others were: among the arena's runs.
static void mappings_of_a_heap(const char *last) {
    lucid_heap *heap = lucid_heap_new("own");
    REQUIRE(heap != NULL, "a heap");
    char *mapping = lucid_heap_alloc(heap, (size_t)33 << 20);
    REQUIRE(mapping != NULL, "a mapping");
    require_in_the_way(mapping < last);
    memset(mapping, 7, (size_t)33 << 20);
    lucid_heap_destroy(heap);
    REQUIRE(!is_mapped(mapping), "the mapping ends with its heap");
}

// Blocks with a mapping of their own, and an arena that has to go on behind each.
static void mappings_in_the_way(void) {
    static char *mappings[WAYS];
    static char *others[WAYS][30];
    for (unsigned round = 0; round < WAYS; round++) {
        mappings[round] = malloc((size_t)33 << 20);
        REQUIRE(mappings[round] != NULL, "a mapping");
        memset(mappings[round], (int)round, 100);
        for (unsigned i = 0; i < 30; i++) {
            others[round][i] = malloc((size_t)1 << 20);
            REQUIRE(others[round][i] != NULL, "memory behind it");
        }
    }
    require_in_the_way(mappings[0] < others[WAYS - 1][29] && mappings[0] > others[0][0]);
    for (unsigned round = 0; round < WAYS; round++) {
        REQUIRE(malloc_usable_size(mappings[round]) >= (size_t)33 << 20, "its size");
        REQUIRE(mappings[round][99] == (char)round, "its contents");
        free(mappings[round]);
    }
    mappings_of_a_heap(others[WAYS - 1][29]);
    for (unsigned round = 0; round < WAYS; round++) {
        for (unsigned i = 0; i < 30; i++) {
            free(others[round][i]);
        }
    }
}

int main(int count, char **values) {
    REQUIRE(count == 2, "usage: breaks MODE");
    mode = values[1];
    if (is_mode("bottom-up")) {
        go_bottom_up(values);
        REQUIRE(lucid_option_set("mmap_threshold", "32M") == 0, "all above stay mappings");
        mappings_in_the_way();
    }
    static void *kept[64][200];
    uint64_t state = test_seed();
    for (unsigned round = 0; round < 64; round++) {
        for (unsigned i = 0; i < 200; i++) {
            size_t size = 1 + test_random(&state) % 60000;
            errno = 1789;
            kept[round][i] = i % 3 == 0 ? calloc(1, size) : malloc(size);
            REQUIRE(kept[round][i] != NULL, "round %u: no %zu bytes", round, size);
            REQUIRE(errno == 1789, "round %u: the break's errno %d shows", round, errno);
            REQUIRE(i % 3 != 0 || test_zero(kept[round][i], size), "calloc of %zu is zero", size);
            test_fill(kept[round][i], malloc_usable_size(kept[round][i]));
        }
        if (is_mode("foreign-up") || is_mode("foreign-down")) {
            disturb(round, is_mode("foreign-down"));
        }
        for (unsigned i = 0; i < 200; i += 2) { // holes, so that runs join beside foreign ones
            REQUIRE(test_filled(kept[round][i], kept[round][i], malloc_usable_size(kept[round][i]),
                                malloc_usable_size(kept[round][i])),
                    "round %u, block %u", round, i);
            free(kept[round][i]);
        }
        require_foreign(round);
    }
    for (unsigned round = 0; round < 64; round++) {
        for (unsigned i = 1; i < 200; i += 2) {
            size_t usable = malloc_usable_size(kept[round][i]);
            REQUIRE(test_filled(kept[round][i], kept[round][i], usable, usable), "round %u", round);
            free(kept[round][i]);
        }
    }
    require_foreign(63);
    REQUIRE(calls > 0, "the allocator asked for the break");
    printf("%s: %u calls, %u moves\n", mode, calls, moves);
    return 0;
}
