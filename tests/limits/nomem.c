// No memory: every function says so, the process goes on, and all comes back after frees.
//   nomem as|data|small|large|shrink|maps|locked|overcommit|huge
#include "testing.h"

#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

extern void free_sized(void *block, size_t size); // of C23: not every <stdlib.h> has it

#define MOST 100000u
#define MIB ((size_t)1 << 20)

static void *blocks[MOST];

static unsigned fill_up(size_t size) {
    unsigned count = 0;
    errno = 0;
    while (count < MOST && (blocks[count] = malloc(size)) != NULL) {
        memset(blocks[count], (int)count, size < 64 ? size : 64);
        count++;
    }
    REQUIRE(count < MOST, "memory of %zu bytes ends", size);
    REQUIRE(errno == ENOMEM, "malloc(%zu) fails with errno %d", size, errno);
    return count;
}

static void give_back(unsigned from, unsigned to) {
    for (unsigned i = from; i < to; i++) {
        errno = 1789;
        free(blocks[i]);
        REQUIRE(errno == 1789, "free changed errno to %d", errno);
    }
}

static struct rlimit limit_of(size_t bytes) {
    return (struct rlimit){.rlim_cur = bytes, .rlim_max = bytes};
}

static void require_enomem(void *block, const char *call) {
    REQUIRE(block == NULL && errno == ENOMEM, "%s gives %p, errno %d", call, block, errno);
    errno = 0;
}

// While there is nothing left for a megabyte.
static void all_refuse(void *kept) {
    void *aligned = &aligned;
    errno = 0;
    require_enomem(malloc(MIB), "malloc");
    require_enomem(calloc(1, MIB), "calloc");
    require_enomem(realloc(NULL, MIB), "realloc");
    require_enomem(realloc(kept, 8 * MIB), "realloc of a block");
    require_enomem(reallocarray(NULL, MIB, 1), "reallocarray");
    require_enomem(aligned_alloc(64, MIB), "aligned_alloc");
    require_enomem(memalign(MIB, MIB), "memalign");
    require_enomem(valloc(MIB), "valloc");
    require_enomem(pvalloc(MIB), "pvalloc");
    REQUIRE(posix_memalign(&aligned, 64, MIB) == ENOMEM && aligned == &aligned && errno == ENOMEM,
            "posix_memalign, errno %d", errno);
}

static void fill_and_recover(unsigned least) {
    errno = 0;
    require_enomem(malloc(1000 * MIB), "malloc of 1000 MiB"); // and costs nothing
    for (unsigned round = 0; round < 20; round++) { // each a mapping of its own, gone when freed
        void *mapping = malloc(40 * MIB);
        REQUIRE(mapping != NULL, "40 MiB for the %u. time", round);
        free(mapping);
    }
    unsigned count = fill_up(MIB);
    printf("%u blocks of 1 MiB\n", count);
    REQUIRE(count >= least, "%u blocks, at least %u expected", count, least);
    all_refuse(blocks[0]);
    // The slack below a megabyte still serves small requests, and what is freed is there again.
    unsigned half = count / 2;
    give_back(half, count);
    unsigned again = half;
    while (again < count && (blocks[again] = malloc(MIB)) != NULL) {
        again++;
    }
    REQUIRE(again == count, "%u of %u blocks after half was freed", again, count);
    give_back(0, count);
    // Larger than what is a mapping otherwise: there are no addresses for one.
    size_t most = count * MIB / 10 * 9;
    unsigned char *large = malloc(most);
    REQUIRE(large != NULL, "one block of %zu bytes after all was freed", most);
    test_fill(large, most);
    REQUIRE(test_filled(large, large, most, most), "it is whole");
    free(large);
    large = calloc(1, most);
    REQUIRE(large != NULL && test_zero(large, most), "the same with zeros");
    free(large);
    void *small = calloc(1, 1000);
    REQUIRE(small != NULL && test_zero(small, 1000), "a small block after all was freed");
    free(small);
    REQUIRE(fill_up(MIB) + 1 >= count, "the same number of blocks again");
}

static void small_blocks(void) {
    const struct rlimit limit = limit_of(64 * MIB);
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0, "the limit");
    unsigned count = fill_up(4096);
    printf("%u blocks of 4 KiB\n", count);
    REQUIRE(count > 12000, "%u blocks of 4 KiB", count);
    errno = 0;
    give_back(0, count);
    unsigned again = fill_up(4096);
    REQUIRE(again >= count, "%u blocks, %u the first time", again, count);
    give_back(0, again);
    unsigned others = fill_up(1008);
    printf("%u blocks of 1008 bytes in the same memory\n", others);
    REQUIRE(others > count * 3, "%u blocks of another size", others);
}

// All addresses went to small blocks. What they leave has to do for what is a mapping otherwise.
static void large_blocks(void) {
    const struct rlimit limit = limit_of(64 * MIB);
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0, "the limit");
    for (unsigned round = 0; round < 2; round++) {
        give_back(0, fill_up(4000));
        give_back(0, fill_up(1000));
        unsigned char *large = malloc(40 * MIB);
        REQUIRE(large != NULL, "40 MiB where small blocks were");
        test_fill(large, 40 * MIB);
        REQUIRE(test_filled(large, large, 40 * MIB, 40 * MIB), "it is whole");
        REQUIRE(realloc(large, 36 * MIB) == large, "it becomes smaller where it is");
        void *rest = malloc(12 * MIB);
        REQUIRE(rest != NULL, "its end is free");
        free(rest);
        REQUIRE(realloc(large, 46 * MIB) == large, "it becomes larger where it is");
        REQUIRE(test_filled(large, large, 36 * MIB, 40 * MIB), "and stays as it was");
        free(large);
    }
}

static void use_up(void) {
    for (size_t size = MIB; size >= 16; size /= 2) {
        while (malloc(size) != NULL) {
        }
    }
}

// What cannot move becomes smaller all the same, and its new size is the right one from then on.
static void shrink_without_memory(void) {
    static const size_t sizes[] = {1000, 30000, 200000, 40 * MIB};
    const struct rlimit limit = limit_of(160 * MIB);
    unsigned char *shrunk[4];
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0, "the limit");
    for (unsigned i = 0; i < 4; i++) {
        shrunk[i] = malloc(sizes[i]);
        REQUIRE(shrunk[i] != NULL, "%zu bytes", sizes[i]);
        memset(shrunk[i], (int)i + 1, sizes[i]);
    }
    use_up();
    for (unsigned i = 0; i < 4; i++) {
        errno = 1789;
        unsigned char *block = realloc(shrunk[i], 100);
        REQUIRE(block != NULL && errno == 1789, "realloc of %zu bytes to 100 gives %p, errno %d",
                sizes[i], (void *)block, errno);
        REQUIRE(block[0] == i + 1 && block[99] == i + 1, "what stays of %zu bytes", sizes[i]);
        shrunk[i] = block;
        use_up(); // of what the block's end was
    }
    for (unsigned i = 0; i < 4; i++) {
        free_sized(shrunk[i], 100);
    }
}

static unsigned mixed_requests(void) {
    unsigned served = 0;
    for (unsigned round = 0; round < 2000; round++) {
        size_t size = round % 10 == 0 ? 100000 + round * 100 : round;
        errno = 0;
        void *block = malloc(size);
        REQUIRE(block != NULL || errno == ENOMEM, "errno %d", errno);
        served += block != NULL;
        if (block != NULL) {
            test_fill(block, size);
            REQUIRE(test_filled(block, block, size, size), "%zu bytes", size);
        }
        blocks[round] = block;
    }
    give_back(0, 2000);
    return served;
}

// Uses up the process's mappings. Not even the break moves then: what is left is what lucid has.
static void exhaust_mappings(void) {
    void *before[100];
    void *mapping = malloc(50 * MIB);
    for (unsigned i = 0; i < 100; i++) {
        before[i] = malloc(i * 1000);
    }
    unsigned count = 0;
    // Neighbours of different rights cannot be merged into one mapping.
    static void *mappings[MOST];
    while (count < MOST &&
           (mappings[count] = mmap(NULL, 4096, count % 2 == 0 ? PROT_READ : PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED) {
        count++;
    }
    if (count == MOST) {
        printf("this system allows more mappings than the test makes\n");
        exit(SKIPPED);
    }
    printf("no mapping more after %u\n", count);
    unsigned served = mixed_requests();
    errno = 0;
    void *huge = malloc(60 * MIB);
    REQUIRE(huge == NULL && errno == ENOMEM, "a mapping when there is none: errno %d", errno);
    (void)malloc_trim(0);
    for (unsigned i = 0; i < 100; i++) {
        free(before[i]);
    }
    errno = 1789;
    free(mapping);
    REQUIRE(errno == 1789, "free changed errno to %d", errno);
    for (unsigned i = 0; i < 1000; i++) {
        (void)munmap(mappings[i], 4096);
    }
    unsigned later = mixed_requests();
    huge = malloc(60 * MIB);
    printf("%u of 2000 requests served without mappings, %u with some again\n", served, later);
    REQUIRE(served > 50 && later == 2000 && huge != NULL, "%u, later %u", served, later);
    free(huge);
}

static unsigned long locked_kib(void) {
    FILE *file = fopen("/proc/self/status", "r");
    REQUIRE(file != NULL, "/proc");
    char line[200];
    unsigned long kib = 0;
    while (kib == 0 && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "VmLck: %lu", &kib);
    }
    (void)fclose(file);
    return kib;
}

// What is free and cannot go back serves large blocks, too, before a mapping is locked beside it.
static void large_block_in_locked_memory(void) {
    for (unsigned i = 0; i < 300; i++) {
        blocks[i] = malloc(200000);
        REQUIRE(blocks[i] != NULL, "no memory");
        memset(blocks[i], 0xcc, 200000);
    }
    give_back(0, 300);
    (void)malloc_trim(0);
    unsigned long before = locked_kib();
    void *large = malloc(40 * MIB);
    REQUIRE(large != NULL, "40 MiB");
    REQUIRE(locked_kib() < before + 4 * 1024, "%lu KiB locked, %lu before", locked_kib(), before);
    free(large);
    large = calloc(1, 40 * MIB);
    REQUIRE(large != NULL && test_zero(large, 40 * MIB), "calloc of 40 MiB under mlockall");
    free(large);
}

// Locked memory cannot be given back to the kernel with madvise; calloc must not believe it was.
static void locked(void) {
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        printf("mlockall is not allowed here: errno %d\n", errno);
        exit(SKIPPED);
    }
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 40; i++) {
            blocks[i] = malloc(200000 + i * 1000);
            REQUIRE(blocks[i] != NULL, "no memory");
            memset(blocks[i], 0xcc, 200000);
        }
        give_back(0, 40);
        (void)malloc_trim(0);
        for (unsigned i = 0; i < 40; i++) {
            blocks[i] = calloc(1, 200000);
            REQUIRE(blocks[i] != NULL && test_zero(blocks[i], 200000), "calloc under mlockall");
        }
        give_back(0, 40);
    }
    large_block_in_locked_memory();
}

static char overcommit_mode(void) {
    char mode[8] = "";
    FILE *file = fopen("/proc/sys/vm/overcommit_memory", "r");
    if (file != NULL) {
        (void)!fgets(mode, sizeof(mode), file);
        (void)fclose(file);
    }
    return mode[0];
}

// vm.overcommit_memory=2: the kernel promises no more than it has, to all processes together. The
// setting is the whole machine's, so the test does not make it.
static void strict_promises(void) {
    if (overcommit_mode() != '2') {
        printf("vm.overcommit_memory is not 2 here\n");
        exit(SKIPPED);
    }
    unsigned count = fill_up(4 * MIB);
    printf("%u blocks of 4 MiB\n", count);
    REQUIRE(count > 10, "%u blocks of 4 MiB", count);
    give_back(0, count);
    REQUIRE(mixed_requests() == 2000, "all is served again");
}

// Who fills what was granted beyond all memory is killed: such a request is one that fails.
static void more_than_the_machine_has(void) {
    struct sysinfo info;
    if (overcommit_mode() == '1' || sysinfo(&info) != 0) {
        printf("vm.overcommit_memory is 1 here: everything is granted\n");
        exit(SKIPPED);
    }
    size_t size = (info.totalram + info.totalswap) * info.mem_unit + 1024 * MIB;
    void *kept = malloc(MIB);
    errno = 0;
    require_enomem(malloc(size), "malloc");
    require_enomem(calloc(1, size), "calloc");
    require_enomem(realloc(kept, size), "realloc");
    require_enomem(aligned_alloc(64, size), "aligned_alloc");
    require_enomem(memalign(2 * MIB, size), "memalign to 2 MiB");
    require_enomem(memalign(4096 * MIB, size), "memalign to 4 GiB");
    void *aligned = memalign(4096 * MIB, MIB);
    REQUIRE(aligned != NULL && (uintptr_t)aligned % (4096 * MIB) == 0, "1 MiB at 4 GiB");
    free(aligned);
    free(kept);
}

// With harden=1 each lies between two pages without access, so larger pages leave fewer.
static unsigned least_blocks(void) {
    long page = LUCID_PAGE_SIZE != 0 ? LUCID_PAGE_SIZE : sysconf(_SC_PAGESIZE);
    return page <= 4096 ? 55 : 48;
}

int main(int count, char **values) {
    const char *what = count == 2 ? values[1] : "";
    if (strcmp(what, "as") == 0) {
        const struct rlimit limit = limit_of(64 * MIB);
        REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0, "the limit");
        fill_and_recover(least_blocks());
    } else if (strcmp(what, "data") == 0) {
        const struct rlimit limit = limit_of(64 * MIB);
        REQUIRE(setrlimit(RLIMIT_DATA, &limit) == 0, "the limit");
        fill_and_recover(least_blocks());
    } else if (strcmp(what, "small") == 0) {
        small_blocks();
    } else if (strcmp(what, "maps") == 0) {
        exhaust_mappings();
    } else if (strcmp(what, "large") == 0) {
        large_blocks();
    } else if (strcmp(what, "shrink") == 0) {
        shrink_without_memory();
    } else if (strcmp(what, "locked") == 0) {
        locked();
    } else if (strcmp(what, "overcommit") == 0) {
        strict_promises();
    } else if (strcmp(what, "huge") == 0) {
        more_than_the_machine_has();
    } else {
        REQUIRE(false, "usage: nomem as|data|small|large|maps|locked|overcommit|huge");
    }
    return 0;
}
