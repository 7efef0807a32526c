// Blocks above the size classes: runs of units in the arena, or mappings of their own.
#ifndef LUCID_LARGE_H
#define LUCID_LARGE_H

#include "block.h"

// A block of `size` bytes at a multiple of `alignment` (a power of two); with `zero` its bytes
// are zero. `region`: that it is to belong to, or NULL. NULL: no memory. pre: size > 0.
void *large_new(size_t size, size_t alignment, bool zero, struct lucid_region *region);

// The same in the arena, which may grow for it. NULL: no memory, or larger than a run can be.
void *large_new_run(size_t size, size_t alignment, bool zero, struct lucid_region *region);

// The same when a mapping cannot be had: of what would be one, as much as the arena has free. Where
// addresses are few those of its free runs remain.
void *large_new_last(size_t size, size_t alignment, bool zero, struct lucid_region *region);

// The same in a mapping of its own, whatever the size; it is zero in any case. NULL: no memory.
// pre: size <= PTRDIFF_MAX.
void *large_new_mapping(size_t size, size_t alignment, bool zero, struct lucid_region *region);

// Is the copy of a block that grows to this size to be a mapping, although the arena would have it?
// It may go on growing, for which a mapping needs no copies.
bool large_outgrows(const struct block *block, size_t size);

// Is the copy of a block that grows to this size to have a spare end? What grew by less than a
// quarter will grow by as much again, and then stays where it is.
bool large_grows_on(const struct block *block, size_t size);

// A block in the arena with that end, an eighth of it, which becomes resident when it is used.
// NULL: no memory. pre: large_grows_on.
void *large_new_growing(size_t size);

// Copies the end of a large block to where all of it goes, a part at a time, and gives each part
// back to the system before the next one is copied: else both would be in memory at once. Returns
// how many bytes at the front remain to be copied: all of a block that is not worth it.
// pre: `size` bytes of it are to be copied to `copy`.
size_t large_move_end(void *copy, void *pointer, const struct block *block, size_t size);

// Gives a large block or a mapping back. pre: `block` came from block_of(pointer).
void large_free(void *pointer, const struct block *block, const char *function);

// Changes the size without copying. Returns where the block is now; NULL: it has to be copied.
void *large_resize(void *pointer, const struct block *block, size_t size);

// The same when there is no memory for a copy: what is beyond `size` bytes goes back as far as it
// can. pre: size <= block->size.
void *large_shrink(void *pointer, const struct block *block, size_t size);

#endif
