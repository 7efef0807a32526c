// Adding a heap up: what heap, arena, bins and the tour tell about it as a whole.
#ifndef LUCID_HEAP_TALLY_H
#define LUCID_HEAP_TALLY_H

#include "snapshot.h"

struct class_tally {
    uint64_t spans;
    uint64_t blocks;
    uint64_t carved;
    uint64_t used;
    uint64_t cached;
    uint64_t free; // carved and in the bitmap
};

struct tally {
    struct class_tally classes[CLASS_COUNT];
    struct class_tally small; // the sum of them
    uint64_t used_bytes;      // small blocks
    uint64_t cached_bytes;
    uint64_t free_bytes;
    uint64_t uncarved_bytes;
    uint64_t tail_bytes; // behind the last block of a span
    uint64_t span_bytes;
    uint64_t large_count;
    uint64_t large_bytes;
    uint64_t large_asked;
    uint64_t pool_runs;
    uint64_t pool_bytes;
    uint64_t dirty_bytes;
    uint64_t foreign_bytes;
    uint64_t busy_bytes; // pool units that are being purged, and units seen between two purposes
    uint64_t mapping_count;
    uint64_t mapping_bytes;
    uint64_t mapping_asked;
    uint64_t guarded_count; // sampled blocks between guard pages
    uint64_t guarded_bytes;
    uint64_t top_bytes;
    uint64_t arena_bytes; // base to limit
    uint64_t moved_runs;
};

// False: a record cannot be read; snapshot->reader.fault says why.
bool tally_heap(struct tally *tally, struct snapshot *snapshot);

#endif
