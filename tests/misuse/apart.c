// A write that runs on from a block, upwards, faults before it reaches anything the allocator
// trusts: between each block and the metadata above it lies a page that cannot be written to.
//   LUCID_OPTIONS=mmap_threshold=64K apart
#include "layout.h"
#include "testing.h"

#include <dlfcn.h>
#include <pthread.h>

#define BLOCKS 400u

static char *blocks[BLOCKS];

// The stretch of writable memory without a gap that an address lies in.
struct stretch {
    uintptr_t start;
    uintptr_t end;
};

static struct stretch stretch_of(uintptr_t address) {
    FILE *file = fopen("/proc/self/maps", "r");
    REQUIRE(file != NULL, "/proc");
    struct stretch found = {0, 0};
    char line[4400];
    while (fgets(line, sizeof(line), file) != NULL) {
        unsigned long start = 0;
        unsigned long end = 0;
        char rights[8] = "";
        REQUIRE(sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3, "a mapping: %s", line);
        bool writable = rights[1] == 'w';
        bool goes_on = writable && start == found.end;
        if (found.start <= address && address < found.end && !goes_on) {
            break;
        }
        if (writable) {
            found.start = goes_on ? found.start : start;
            found.end = end;
        } else {
            found.start = found.end = 0;
        }
    }
    (void)fclose(file);
    REQUIRE(found.start <= address && address < found.end, "%#lx is writable",
            (unsigned long)address);
    return found;
}

static void require_apart(const char *what, const void *metadata) {
    struct stretch stretch = stretch_of((uintptr_t)metadata);
    for (unsigned i = 0; i < BLOCKS; i++) {
        uintptr_t block = (uintptr_t)blocks[i];
        REQUIRE(block < stretch.start || block > (uintptr_t)metadata,
                "a write that runs on from the block %p reaches %s at %p", blocks[i], what,
                metadata);
    }
    printf("%-24s %p\n", what, metadata);
}

static void *take_a_block(void *argument) {
    return malloc((size_t)(uintptr_t)argument);
}

static void allocate(unsigned from, unsigned to) {
    static const size_t sizes[] = {40, 3000, 40000, 100000, 5000000};
    for (unsigned i = from; i < to; i++) {
        blocks[i] = malloc(sizes[i % 5]);
        REQUIRE(blocks[i] != NULL, "block %u", i);
    }
}

int main(void) {
    const struct lucid_root *root = dlsym(RTLD_DEFAULT, "lucid_root");
    REQUIRE(root != NULL, "the root is exported");
    const struct root_live *live = &root->live;
    allocate(0, 10);
    pthread_t thread; // with a second thread comes the page that the kernel wipes on fork
    REQUIRE(pthread_create(&thread, NULL, take_a_block, (void *)(uintptr_t)100) == 0, "a thread");
    (void)pthread_join(thread, NULL);
    allocate(10, BLOCKS); // and with more mappings a larger table of them
    REQUIRE(live->mappings.capacity > 64 && live->fork_page != NULL,
            "%u places for mappings, fork page %p", live->mappings.capacity,
            (void *)live->fork_page);
    require_apart("units", root->fixed.units);
    require_apart("runs", root->fixed.runs);
    require_apart("heaps and bins", live->heaps);
    require_apart("table of mappings", live->mappings.entries);
    require_apart("fork page", live->fork_page);
    require_apart("root", live);
    if (live->hardened != NULL) {
        require_apart("live bits", live->hardened->live);
    }
    return 0;
}
