// Searching the target's memory, piece by piece.
#ifndef LUCID_HEAP_SCAN_H
#define LUCID_HEAP_SCAN_H

#include "snapshot.h"

struct scan {
    const struct target *target;
    // Either bytes, found at multiples of `step`, or words of 8 bytes with low <= word < high.
    const void *bytes;
    size_t length;
    size_t step;
    uint64_t low;
    uint64_t high;
    void (*found)(uint64_t address, void *context);
    void *context;
};

// Searches [start, end). Memory that cannot be read is left out.
void scan_range(const struct scan *scan, uint64_t start, uint64_t end);

// Searches the contents of all blocks, in address order; free ones too.
void scan_heap(const struct scan *scan, struct snapshot *snapshot);

// Searches all writable memory outside the heap and its tables.
void scan_rest(const struct scan *scan, const struct snapshot *snapshot);

#endif
