// What the test programs share: requirements, random numbers, contents that can be verified.
#ifndef TESTING_H
#define TESTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef __GLIBC__ // other C libraries do not have these; lucid brings them
void *pvalloc(size_t size);
int malloc_trim(size_t keep);
#endif

#define SKIPPED 77 // ctest takes this exit code for "skipped"

// Ends the test with a sentence when something does not hold. Writes without the heap.
#define REQUIRE(holds, ...)                                                             \
    do {                                                                                \
        if (__builtin_expect(!(holds), 0)) {                                            \
            char require_text_[400];                                                    \
            int require_length_ =                                                       \
                snprintf(require_text_, sizeof(require_text_),                          \
                         "%s:%d: %s does not hold: ", __FILE__, __LINE__, #holds);      \
            require_length_ +=                                                          \
                snprintf(require_text_ + require_length_,                               \
                         sizeof(require_text_) - (size_t)require_length_, __VA_ARGS__); \
            test_write(require_text_, (size_t)require_length_);                         \
            test_write("\n", 1);                                                        \
            _exit(1);                                                                   \
        }                                                                               \
    } while (0)

static inline void test_write(const char *text, size_t length) {
    ssize_t written = write(STDERR_FILENO, text, length < 399 ? length : 399);
    (void)written;
}

// A linear congruential generator (Knuth's MMIX constants), its upper half; one per thread.
static inline uint32_t test_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

// The seed of this run: LUCID_SEED, else a fixed one, so that a failure can be repeated.
static inline uint64_t test_seed(void) {
    const char *text = getenv("LUCID_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : 20240917;
}

static inline uint64_t test_pattern(const void *block, size_t i) {
    return ((uint64_t)(uintptr_t)block + i) * 0x9e3779b97f4a7c15u;
}

// Fills a block with words that depend on where they are, so that neither a neighbour's words nor
// an older tenant's pass for them. Large blocks: the ends of every page.
static inline void test_fill(void *block, size_t size) {
    unsigned char *bytes = (unsigned char *)block;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)(test_pattern(block, i / 8) >> (i % 8 * 8));
        if (size > 8192 && i % 4096 == 15) {
            i += 4096 - 32;
        }
    }
}

// Is what test_fill wrote still there? `at` is where it was written, which may be another place
// when realloc has moved the block since.
static inline bool test_filled(const void *block, const void *at, size_t size, size_t written) {
    const unsigned char *bytes = (const unsigned char *)block;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != (unsigned char)(test_pattern(at, i / 8) >> (i % 8 * 8))) {
            return false;
        }
        if (written > 8192 && i % 4096 == 15) {
            i += 4096 - 32;
        }
    }
    return true;
}

static inline bool test_zero(const void *block, size_t size) {
    const unsigned char *bytes = (const unsigned char *)block;
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

// A size: mostly small, sometimes large, rarely huge.
static inline size_t test_size(uint64_t *state) {
    uint32_t roll = test_random(state) % 1000;
    if (roll < 700) {
        return test_random(state) % 512;
    }
    if (roll < 950) {
        return test_random(state) % 8192;
    }
    if (roll < 990) {
        return test_random(state) % 40000;
    }
    return test_random(state) % ((size_t)1 << 20);
}

// What a block of that size becomes: any size, or, every other large one, a little more.
static inline size_t test_size_after(size_t size, uint64_t *state) {
    return size > 40000 && test_random(state) % 2 == 0 ? size + size / 10 : test_size(state) + 1;
}

// Resident bytes of this process, from /proc without allocating. 0: cannot tell.
static inline size_t test_resident(void) {
    char line[128] = {0};
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) {
        return 0;
    }
    unsigned long total = 0;
    unsigned long resident = 0;
    bool read =
        fgets(line, sizeof(line), file) != NULL && sscanf(line, "%lu %lu", &total, &resident) == 2;
    (void)fclose(file);
    return read ? resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

#endif
