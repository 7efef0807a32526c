// Free pages inside spans that are partly in use: all blocks of such a page are free, and the page
// can go although its neighbours stay. What a block's bytes are worth while it is free is nothing;
// the free mark in some of them (block.h) is a hint that may get lost.
#ifndef LUCID_TRIM_H
#define LUCID_TRIM_H

#include "base.h"

// Gives back the free pages of all spans that nobody holds. Returns the bytes.
uint64_t trim_all(void);

// The same for spans whose number of free blocks has not changed for `age` milliseconds. False:
// there are others, which are worth looking at again. By one thread at a time.
bool trim_aged(uint32_t age);

// A block that was idle for long has just been given back: its span counts as aged, for trim_aged.
void trim_soon(unsigned class, const void *block);

#endif
