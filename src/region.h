// Regions: the program's own heaps (lucid_heap_new), whose blocks can be given back all at once in
// time that depends on the spans, not on the blocks.
//
// A region's spans are spans like all others, but HELD by the region for life: no thread's bin and
// no list ever has anything of them, so that each block's free bit is exact at any time. Whose a
// block is, its run or its mapping says; so free, realloc and malloc_usable_size know a region's
// blocks, and a child of fork can link everything anew.
//
// Invariant: with the lock free, every run that names the region is on its list of runs, and every
// span of it with a free block is current or on the list of usable spans of its class.
#ifndef LUCID_REGION_H
#define LUCID_REGION_H

#include "block.h"

// A region without blocks. `name` may be NULL. NULL: no memory.
struct lucid_region *region_new(const char *name);

// Cuts the name to what there is room for.
void region_name(struct lucid_region *region, const char *name);

// Panics, naming `function`, unless `region` is live.
void region_require(const struct lucid_region *region, const char *function);

// A block of a class, or a larger one. NULL: no memory.
void *region_take(struct lucid_region *region, unsigned class);
void *region_take_large(struct lucid_region *region, size_t size, size_t alignment, bool zero);

// pre: `block` came from block_of(pointer), block->region != NULL.
void region_free(void *pointer, const struct block *block, const char *function);

// Gives all blocks back. pre: no other thread uses the region's blocks.
void region_free_all(struct lucid_region *region);

// The same, and ends the region.
void region_destroy(struct lucid_region *region);

// In the child of a fork, after span_after_fork.
void region_after_fork(void);

#endif
