// The shadow: what a correct allocator must be doing, kept without asking the allocator. One slot
// per block in use, with a copy of nothing but a seed: the contents follow from it.
#ifndef FUZZ_SHADOW_H
#define FUZZ_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHADOW_SLOTS 512u

struct slot {
    unsigned char *block; // NULL: unused
    size_t size;          // asked for
    size_t usable;        // as malloc_usable_size said at once
    size_t alignment;     // promised
    uint32_t seed;
};

extern struct slot shadow[SHADOW_SLOTS];

// Takes a new block over into an unused slot: checks alignment, overlap with every other block and
// the usable size, then fills it. `zeroed`: it must be all zero before.
void shadow_adopt(struct slot *slot, void *block, size_t size, size_t alignment, bool zeroed);

// Contents as filled, usable size as before.
void shadow_verify(const struct slot *slot);
void shadow_verify_all(void);

// The first `size` bytes of `block` are what the slot's block held.
void shadow_verify_copy(const struct slot *slot, const void *block, size_t size);

// The slot's block is about to be given back.
void shadow_drop(struct slot *slot);

// Does the address lie in a block in use?
const struct slot *shadow_find(uintptr_t address);

unsigned shadow_count(void);

#endif
