// Counting the heap by walking the tables: what mallinfo and its relatives report. Nothing is
// counted on the fast paths; everything follows from runs, bitmaps and bins.
//
// Taken while other threads work, the numbers are those of slightly different instants.
#ifndef LUCID_WALK_H
#define LUCID_WALK_H

#include "layout.h"

struct class_account {
    uint64_t spans;
    uint64_t blocks; // in all spans
    uint64_t free;   // in the spans' bitmaps, never carved ones excluded
    uint64_t uncarved;
    uint64_t cached; // in bins, or in the quarantine of hardened mode
};

// used + cached + free + uncarved blocks of all classes, plus tails == bytes of all spans.
// arena_bytes == span_bytes + large_bytes + pool_bytes + top_bytes.
struct account {
    struct class_account classes[CLASS_COUNT];
    uint64_t arena_bytes; // from the base to the limit, foreign parts excluded
    uint64_t top_bytes;
    uint64_t pool_bytes;
    uint64_t pool_dirty_bytes;
    uint64_t pool_runs;
    uint64_t foreign_bytes;
    uint64_t span_bytes;
    uint64_t used_blocks; // small ones
    uint64_t used_bytes;  // small ones, rounded to their class
    uint64_t padding;     // of these: in hardened mode, what the program may not use
    uint64_t cached_blocks;
    uint64_t cached_bytes;
    uint64_t free_blocks;
    uint64_t free_bytes; // small ones, never carved ones included
    uint64_t large_count;
    uint64_t large_bytes;  // of their units
    uint64_t large_usable; // what the program may use of them, as malloc_usable_size says
    uint64_t large_asked;
    uint64_t mapping_count;
    uint64_t mapping_bytes; // address space
    uint64_t mapping_asked;
    uint64_t guarded_count; // sampled blocks between guard pages
    uint64_t guarded_bytes; // asked for
    uint64_t meta_bytes;    // records opened so far
    uint64_t heaps;
    uint64_t threads;
};

void walk_account(struct account *account);

#endif
