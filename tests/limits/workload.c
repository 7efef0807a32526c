#include "workload.h"

#include "testing.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define KEPT 60u

static const struct family *family;
static _Atomic unsigned refused;

struct kept {
    void *block;
    size_t size;
};

static void note(struct kept *kept, void *block, size_t size) {
    *kept = (struct kept){.block = block, .size = size};
    if (block == NULL) {
        REQUIRE(errno == ENOMEM, "%zu bytes are refused with errno %d", size, errno);
        refused++;
        return;
    }
    test_fill(block, size);
}

static void drop(struct kept *kept) {
    if (kept->block != NULL) {
        REQUIRE(test_filled(kept->block, kept->block, kept->size, kept->size), "%zu bytes",
                kept->size);
    }
    errno = 1789;
    family->free(kept->block);
    REQUIRE(errno == 1789, "free of %zu bytes changed errno to %d", kept->size, errno);
    kept->block = NULL;
}

static void zeroed(struct kept *kept, size_t size) {
    errno = 0;
    void *block = family->calloc(1, size);
    REQUIRE(block == NULL || test_zero(block, size), "calloc of %zu bytes is zero", size);
    note(kept, block, size);
}

static void resized(struct kept *kept, size_t size) {
    if (kept->block == NULL) {
        return;
    }
    errno = 0;
    void *block = family->realloc(kept->block, size);
    if (block == NULL) {
        REQUIRE(errno == ENOMEM, "realloc to %zu bytes: errno %d", size, errno);
        refused++;
        REQUIRE(test_filled(kept->block, kept->block, kept->size, kept->size), "as it was");
        return;
    }
    REQUIRE(test_filled(block, kept->block, size < kept->size ? size : kept->size, kept->size),
            "realloc from %zu to %zu bytes", kept->size, size);
    note(kept, block, size);
}

static void plain(struct kept *kept, size_t size) {
    errno = 0;
    note(kept, family->malloc(size), size);
}

static void aligned(struct kept *kept, size_t alignment, size_t size) {
    errno = 0;
    void *block = family->aligned_alloc(alignment, size);
    REQUIRE((uintptr_t)block % alignment == 0, "%p at %zx", block, alignment);
    note(kept, block, size);
}

static void small_ones(void) {
    struct kept kept[KEPT];
    for (unsigned i = 0; i < KEPT; i++) {
        plain(&kept[i], i * i * 9 + 1);
    }
    for (unsigned i = 0; i < KEPT; i++) {
        resized(&kept[i], i * i * 5 + 40);
    }
    for (unsigned i = 0; i < KEPT; i++) {
        drop(&kept[i]);
    }
}

static void large_ones(void) {
    struct kept kept[KEPT];
    for (unsigned i = 0; i < KEPT; i++) {
        plain(&kept[i], 50000 + i * 20000);
    }
    for (unsigned i = 0; i < KEPT; i += 2) {
        drop(&kept[i]);
        zeroed(&kept[i], 60000 + i * 15000);
    }
    for (unsigned i = 0; i < KEPT; i += 3) {
        resized(&kept[i], 40000 + i * 30000);
    }
    for (unsigned i = 0; i < KEPT; i++) {
        drop(&kept[i]);
    }
    errno = 0;
    (void)family->malloc_trim(0);
    zeroed(&kept[0], 5000000); // some of it given back just now
    drop(&kept[0]);
}

static void mappings(void) {
    struct kept kept[80];
    plain(&kept[0], (size_t)40 << 20);
    resized(&kept[0], (size_t)90 << 20);
    resized(&kept[0], (size_t)50 << 20);
    drop(&kept[0]);
    aligned(&kept[0], (size_t)1 << 22, (size_t)40 << 20);
    drop(&kept[0]);
    for (unsigned i = 0; i < 80; i++) { // more than the first table of mappings holds
        errno = 0;
        void *block = family->malloc(((size_t)33 << 20) + i);
        REQUIRE(block != NULL || errno == ENOMEM, "errno %d", errno);
        refused += block == NULL;
        kept[i] = (struct kept){.block = block, .size = 0};
    }
    for (unsigned i = 0; i < 80; i++) {
        drop(&kept[i]);
    }
}

static void *on_thread(void *argument) {
    small_ones();
    struct kept kept;
    aligned(&kept, 4096, 9000);
    drop(&kept);
    return argument;
}

static void threads(void) {
    pthread_t handles[3];
    bool made[3];
    for (unsigned i = 0; i < 3; i++) {
        made[i] = pthread_create(&handles[i], NULL, on_thread, NULL) == 0;
    }
    for (unsigned i = 0; i < 3; i++) {
        if (made[i]) {
            (void)pthread_join(handles[i], NULL);
        }
    }
}

unsigned workload_run(const struct family *which) {
    family = which;
    small_ones();
    large_ones();
    mappings();
    threads();
    large_ones();
    // Whatever failed before: now there is memory.
    struct kept kept;
    for (unsigned tries = 0; tries < 2; tries++) {
        plain(&kept, 100);
        drop(&kept);
    }
    return refused;
}
