// Recycled mappings: a mapping that is freed takes its pages with it, so that a program which makes
// and frees large blocks by turns has the kernel clear them each time. Once it has freed a mapping
// of at most RECYCLED_MAX, blocks up to that size come from the arena, where what one leaves serves
// the next (docs/decisions/035).
#ifndef LUCID_RECYCLE_H
#define LUCID_RECYCLE_H

#include "layout.h"

// The option mmap_threshold: above it a block has a mapping of its own where nothing is recycled.
size_t recycle_wished_threshold(void);

// Above it a block has a mapping of its own. Never less than the wished one.
size_t recycle_threshold(void);

// Does the kernel take no memory back, because it is locked? Also true where there is not even a
// page to try it with. Makes three system calls.
bool recycle_is_locked(void);

// A mapping of that size was freed.
void recycle_note_freed(size_t size);

#endif
