// The fast path of free, and the door to the slow one.
//
// Cost of the fast path: 19 instructions, the return included. What it tests:
//   - the address lies in the arena and is aligned: a rotation turns the bits that alignment
//     forbids into the highest ones, so that one compare finds both; NULL fails it as well
//   - the block does not carry the mark of a free block
//   - the bin of its class has room; units that hold no small blocks lead to bin 0, which never
//     has, so that large blocks need no test of their own
#ifndef LUCID_FREE_H
#define LUCID_FREE_H

#include "block.h"

// Everything the fast path leaves: NULL, large blocks, full bins, the first call, misuse.
void free_slow(void *pointer, const char *function);

// Puts a block into the bin of its class; with `sized`, only if that is the bin at `wanted`. False:
// one of the tests failed, nothing was done.
ALWAYS_INLINE bool free_into_bin(void *pointer, bool sized, size_t wanted) {
    uintptr_t offset = (uintptr_t)pointer - root.fixed.base;
    uintptr_t granule = offset >> 4 | offset << (sizeof(offset) * 8 - 4);
    if (unlikely(granule >= root_reach())) {
        return false;
    }
    struct unit *units = root.fixed.units;
    size_t found = units[granule >> (UNIT_SHIFT - 4)].bin;
    struct bin *bin = (struct bin *)((char *)heap_self + found);
    void **top = bin->top;
    if ((sized && unlikely(found != wanted)) || unlikely(top >= bin->end) ||
        unlikely(*block_mark(pointer) == free_mark(units))) {
        return false;
    }
    *block_mark(pointer) = free_mark(units);
    bin_push(bin, top, pointer);
    return true;
}

ALWAYS_INLINE void free_fast(void *pointer, const char *function) {
    if (unlikely(!free_into_bin(pointer, false, 0))) {
        free_slow(pointer, function);
    }
}

// The size given to delete is not the one given to new, or the block is not tiny.
void free_sized_slow(void *pointer, size_t size, const char *function);

// realloc has left a block that is more than twice as large as asked for: from now on a size that
// is too small for its block is no proof of misuse.
void free_note_large_left(void);

// free of a block that was asked for with this alignment, and at least this size.
void free_aligned(void *pointer, size_t alignment, size_t size, const char *function);

// For operator delete with a size: new never leaves a block in a larger class than its size asks
// for, so the classes must agree. The bin of a tiny size is as far away as the size, rounded up.
ALWAYS_INLINE void free_sized_fast(void *pointer, size_t size, const char *function) {
    if (unlikely(size > TINY_MAX) ||
        unlikely(!free_into_bin(pointer, true, align_up(size, BLOCK_ALIGN)))) {
        free_sized_slow(pointer, size, function);
    }
}

_Static_assert(BLOCK_ALIGN == 16, "the rotation is by log2 of the alignment");

#endif
