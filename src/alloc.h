// The fast path of allocation, and the door to the slow one.
//
// Cost of the fast path for up to TINY_MAX bytes: 13 instructions, the return included; three
// dependent loads (heap, top of the bin, block).
#ifndef LUCID_ALLOC_H
#define LUCID_ALLOC_H

#include "block.h"

// Everything the fast path leaves: other sizes, empty bins, the first call, no memory (NULL and
// ENOMEM).
void *alloc_slow(size_t size);

// The same for a size up to TINY_MAX that led to this empty bin: the bin tells the size's class,
// and the fast path need not keep the size until here.
void *alloc_empty(const struct bin *bin);

// A block aligned to `alignment`, a power of two. NULL and ENOMEM: no memory.
void *alloc_aligned(size_t alignment, size_t size);

// Zeroed memory. NULL and ENOMEM: no memory.
void *alloc_zeroed(size_t size);

ALWAYS_INLINE void *alloc_fast(size_t size) {
    if (unlikely(size > TINY_MAX)) {
        return alloc_slow(size);
    }
    // The bin of class (size + 15) / 16 is that many bins away, and a bin is 16 bytes long.
    // Size 0 leads to class 0, whose bin is always empty.
    size_t offset = (size + BLOCK_ALIGN - 1) & ~(size_t)(BLOCK_ALIGN - 1);
    struct bin *bin = (struct bin *)((char *)heap_self + offset);
    void *block = bin->top[-1];
    if (unlikely(block == NULL)) {
        return alloc_empty(bin);
    }
    bin_step(bin, -1);
    *block_mark(block) = 0;
    return block;
}

#endif
