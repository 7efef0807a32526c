// Mappings: blocks so large that each has an mmap of its own. They are found through a hash
// table of their addresses, which readers can copy.
//
// Invariant: entries in use == count, sum of their lengths == bytes; count * 2 <= capacity, or,
// where there was no memory for a larger table, count < capacity.
#ifndef LUCID_MAPPING_H
#define LUCID_MAPPING_H

#include "layout.h"

// A block of at least `size` zeroed bytes at a multiple of `alignment`, for a region or for none
// (NULL). NULL: no memory.
void *mapping_new(size_t size, size_t alignment, struct lucid_region *region);

// Looks an address up. False: it is not the start of a mapping.
bool mapping_find(const void *block, struct mapping *found);

// Finds the block that an address lies in, by a look at all of them. False: there is none.
bool mapping_around(const void *pointer, struct mapping *found);

// Ends a mapping. False: there is none at this address (nothing was done).
bool mapping_free(const void *block);

// Makes a mapping hold `size` bytes, moving it if needed. Returns its address, NULL if that is
// not possible; the block is then as it was.
void *mapping_resize(const void *block, size_t size);

// Ends all mappings of a region, in time that depends on these alone. pre: none is made for it
// meanwhile.
void mapping_free_all(const struct lucid_region *region);

// For who makes mappings of another shape (fence.h): puts one into the table, false: no memory, or
// it is not allowed; takes the one of a block out, false: there is none. Once its memory has gone
// back, its length is to be given to allowance_give.
bool mapping_record(const struct mapping *mapping);
bool mapping_forget(const void *block, struct mapping *found);

void mapping_after_fork(void);

// Links and counts all regions' mappings anew. pre: these have none on their lists; there is one
// thread.
void mapping_relink(void);

#endif
