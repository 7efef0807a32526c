// Recycled mappings: a mapping that is freed takes its pages with it, so that a program which makes and
// frees large blocks by turns has the kernel clear them each time. Once it has freed a mapping of at
// most RECYCLED_MAX, blocks up to that size come from the arena, where what one leaves serves the
// next (docs/decisions/035).
#ifndef LUCID_RECYCLE_H
#define LUCID_RECYCLE_H

#include "layout.h"

// The option mmap_threshold: what blocks above it have is a mapping of their own, unless recycled.
size_t recycle_wished_threshold(void);

// The same with what is recycled now: never less.
size_t recycle_threshold(void);

// A mapping of that size was freed.
void recycle_note_freed(size_t size);

#endif
