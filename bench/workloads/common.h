// What every workload of the bench shares: a small generator of random numbers, blocks that
// carry their own size and tag so that damage is noticed, and the reading of arguments.
//
// A workload does a fixed number of operations and prints one checksum that depends only on its
// arguments, never on the allocator, on addresses or on the order in which threads ran.
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rng {
    uint64_t state;
};

// The head of a block. The smallest block a workload asks for is 8 bytes, so it always fits.
struct item {
    uint32_t size;
    uint32_t tag;
};

static inline struct rng rng_seed(uint64_t seed) {
    // Neighbouring seeds are spread by a multiplication, and the state must never be zero.
    struct rng r = {(seed + 1) * 0x9e3779b97f4a7c15u | 1u};
    return r;
}

static inline uint64_t rng_next(struct rng *r) {
    uint64_t x = r->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    r->state = x;
    return x * 0x2545f4914f6cdd1du;
}

static inline uint32_t rng_below(struct rng *r, uint32_t bound) {
    return (uint32_t)(((rng_next(r) >> 32) * bound) >> 32);
}

static inline uint32_t rng_between(struct rng *r, uint32_t least, uint32_t most) {
    return least + rng_below(r, most - least + 1);
}

// Pareto with exponent 1: half of all sizes lie within twice the least one.
static inline uint32_t rng_pareto(struct rng *r, uint32_t least, uint32_t most) {
    uint64_t u = (rng_next(r) >> 32) + 1;
    uint64_t size = ((uint64_t)least << 32) / u;
    return size <= most ? (uint32_t)size : rng_between(r, least, most);
}

// Every doubling between 2^low and 2^high is equally likely.
static inline uint32_t rng_doubling(struct rng *r, uint32_t low, uint32_t high) {
    uint32_t power = rng_between(r, low, high - 1);
    return rng_between(r, (uint32_t)1 << power, ((uint32_t)2 << power) - 1);
}

static inline void fail(const char *what) {
    fprintf(stderr, "bench workload: %s\n", what);
    exit(1);
}

static inline void *must(void *p) {
    if (p == NULL) {
        fail("the allocator returned NULL; more memory or smaller arguments are needed");
    }
    return p;
}

// Marks the first eight bytes and the last one.
static inline void *item_mark(void *p, uint32_t size, uint32_t tag) {
    struct item *it = must(p);
    it->size = size;
    it->tag = tag;
    if (size > sizeof *it) {
        ((unsigned char *)p)[size - 1] = (unsigned char)tag;
    }
    return p;
}

static inline void *item_new(uint32_t size, uint32_t tag) {
    return item_mark(malloc(size), size, tag);
}

// Dies when the block is damaged, otherwise gives its share of the checksum.
static inline uint64_t item_check(const void *p) {
    const struct item *it = p;
    if (it->size > sizeof *it &&
        ((const unsigned char *)p)[it->size - 1] != (unsigned char)it->tag) {
        fail("a block does not hold what was written into it");
    }
    return (uint64_t)it->tag * 31u + it->size;
}

static inline uint64_t item_free(void *p) {
    uint64_t sum = item_check(p);
    free(p);
    return sum;
}

// Argument number i as a count, or the value that stands in for it.
static inline uint32_t argument(int argc, char **argv, int i, uint32_t otherwise) {
    if (i >= argc) {
        return otherwise;
    }
    char *end = NULL;
    errno = 0;
    unsigned long value = strtoul(argv[i], &end, 10);
    if (errno != 0 || end == argv[i] || *end != '\0' || value == 0 || value > 0x7fffffff) {
        fprintf(stderr, "%s: argument %d must be a whole number from 1 to 2147483647, not '%s'\n",
                argv[0], i, argv[i]);
        exit(64);
    }
    return (uint32_t)value;
}

static inline int report(uint64_t sum) {
    printf("checksum %016" PRIx64 "\n", sum);
    return fflush(stdout) == 0 ? 0 : 1;
}

#endif
