// Fenced blocks: the large blocks of hardened mode. Each has a mapping of its own between pages
// without access and ends right before the one behind it, so that an overflow faults; what
// alignment leaves between block and page is filled and checked at free. A freed block's addresses
// stay without access for as long as the fence's quarantine has room, so that using it faults too.
#ifndef LUCID_FENCE_H
#define LUCID_FENCE_H

#include "layout.h"

// `size` zeroed bytes (at least 1) at a multiple of `alignment`. NULL: no memory or no more
// mappings; the caller may try without a fence.
void *fence_new(size_t size, size_t alignment);

// pre: mapping_find() knows the block and hardened mode is on.
void fence_free(void *block, const char *function);

// Is this a freed block whose addresses are still kept?
bool fence_was(const void *block);

void fence_after_fork(void);

#endif
