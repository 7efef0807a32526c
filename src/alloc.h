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

// The same for a size up to TINY_MAX, when a pop from its bin found nothing.
void *alloc_empty(size_t size, struct bin *bin);

// A block aligned to `alignment`, a power of two. NULL and ENOMEM: no memory.
void *alloc_aligned(size_t alignment, size_t size);

// Zeroed memory. NULL and ENOMEM: no memory.
void *alloc_zeroed(size_t size);

// A block with a mapping of its own. NULL: no memory; errno is as it was. pre: SMALL_MAX < size <=
// PTRDIFF_MAX.
void *alloc_mapping(size_t size);

// A large block that may grow where it is. NULL: no memory; errno is as it was.
// pre: large_grows_on.
void *alloc_growing(size_t size);

// A block of a region. NULL and ENOMEM: no memory. pre: the region is live, the alignment a power
// of two.
void *alloc_in(struct lucid_region *region, size_t alignment, size_t size, bool zero);

struct relief; // relief.h

// To be asked when `size` bytes of that alignment could not be had, with no lock held, until it
// says false. True: something went back, so try once more. Calls the program.
bool alloc_again(struct relief *relief, size_t size, size_t alignment);

// Keeps the bin out of the registers of the size and the result, and where alloc_empty wants it:
// the block is then where it is to be returned, for no instruction more.
ALWAYS_INLINE struct bin *bin_aside(struct bin *bin) {
#ifdef __x86_64__
    __asm__("" : "+S"(bin));
#endif
    return bin;
}

ALWAYS_INLINE void *alloc_fast(size_t size) {
    if (unlikely(size > TINY_MAX)) {
        return alloc_slow(size);
    }
    // The bin of class (size + 15) / 16 is that many bins away, and a bin is 16 bytes long.
    // Size 0 leads to class 0, whose bin is always empty.
    size_t offset = (size + BLOCK_ALIGN - 1) & ~(size_t)(BLOCK_ALIGN - 1);
    struct bin *bin = bin_aside((struct bin *)((char *)heap_self + offset));
    void *block = bin_pop(bin);
    if (unlikely(block == NULL)) {
        return alloc_empty(size, bin);
    }
    *block_mark(block) = 0;
    return block;
}

#endif
