// Size classes: the size a request is rounded to.
//
// Classes 1 to 64 are the multiples of 16 up to 1024, so that the class of a small request is an
// addition and a mask; above that each doubling has 4 classes up to 32 KiB: more of them would
// waste less inside blocks and more between them (docs/decisions/010). Class 0 is no class.
//
// Invariant, proven for every size by tests/unit/test_sizeclass.c:
//   sizeclass_size(c - 1) < n <= sizeclass_size(c)   for c == sizeclass_of(n), 1 <= n <= SMALL_MAX
#ifndef LUCID_SIZECLASS_H
#define LUCID_SIZECLASS_H

#include "config.h"

#define CLASS_COUNT 85u // class 0 included
#define CLASS_LINEAR_COUNT 64u
#define TINY_MAX 1024u   // the last size with a class of its own every 16 bytes
#define SMALL_MAX 32768u // the last size that has a class at all
#define RECIPROCAL_SHIFT 40u

// One row per class; part of the layout other processes read.
struct sizeclass {
    uint32_t size;       // bytes of one block
    uint16_t units;      // units of one span
    uint16_t blocks;     // blocks of one span: units * UNIT_SIZE / size, at most SPAN_BLOCKS_MAX
    uint64_t reciprocal; // ceil(2^RECIPROCAL_SHIFT / size): turns a division into a product
};

extern const struct sizeclass sizeclass_table[CLASS_COUNT] __attribute__((visibility("hidden")));

// The class whose blocks serve a request of n bytes; pre: 1 <= n <= SMALL_MAX.
static inline unsigned sizeclass_of(size_t n) {
    if (n <= TINY_MAX) {
        return (unsigned)((n + BLOCK_ALIGN - 1) / BLOCK_ALIGN);
    }
    size_t last = n - 1;
    unsigned doubling = bit_highest(last); // 10 for 1025..2048, and so on
    return CLASS_LINEAR_COUNT + 1 + (doubling - 10) * 4 + (unsigned)((last >> (doubling - 2)) & 3);
}

static inline size_t sizeclass_size(unsigned class) {
    return sizeclass_table[class].size;
}

// Number of the block at `offset` bytes into a span of this class (rounded down).
static inline unsigned sizeclass_index(unsigned class, size_t offset) {
    return (unsigned)((offset * sizeclass_table[class].reciprocal) >> RECIPROCAL_SHIFT);
}

// The smallest class whose blocks hold n bytes and whose size is a multiple of `alignment`, so
// that every block of it is aligned; 0 if there is none.
// pre: alignment is a power of two, n <= SMALL_MAX.
unsigned sizeclass_aligned(size_t n, size_t alignment);

#endif
