// What of a target is in memory, page by page where the heap lies, region by region elsewhere.
#ifndef LUCID_STATS_RESIDENCY_H
#define LUCID_STATS_RESIDENCY_H

#include "target/target.h"

// Where something of the heap lies; sorted by address, not overlapping.
struct residency_range {
    uint64_t start;
    uint64_t end;
};

// A region with something of the heap in it; of one that may not be read only that part. Its pages
// are kept by stretches of RESIDENCY_STRETCH: a thousand times more may be untouched than touched.
#define RESIDENCY_STRETCH ((size_t)4096)
struct residency_piece {
    uint64_t start;
    uint64_t end;
    size_t region;       // its number in target->regions
    uint8_t **stretches; // TARGET_PAGE_ bits of each page; NULL: none of them is in memory
};

struct residency {
    const struct target *target;
    struct residency_piece *pieces; // by address
    size_t count;
    size_t capacity;
    size_t last;    // the piece that was asked for last
    bool estimated; // a core: a page counts if it is not all zeros
    bool counted;   // `total` and `swapped` are the kernel's own numbers (smaps)
    uint64_t total; // bytes in memory, all regions
    uint64_t swapped;
    uint64_t huge;  // bytes in huge pages
    uint64_t zeros; // bytes mapped to the kernel's page of zeros, which is nobody's memory
};

// Reads the target's regions again, with their counts. False: errno, or no page map.
bool residency_take(struct residency *residency, struct target *target,
                    const struct residency_range *ranges, size_t count);
void residency_free(struct residency *residency);

// Is the page of this address, which lies in one of the ranges, in memory?
bool residency_has(struct residency *residency, uint64_t address);

// Bytes of the pages of [start, end) that are in memory. The length may be forged: only what lies
// in pieces costs time. Of these bytes, those in [from, to) are added to `inside`.
uint64_t residency_count(const struct residency *residency, uint64_t start, uint64_t end,
                         uint64_t from, uint64_t to, uint64_t *inside);

// Bytes of a piece that are in memory.
uint64_t residency_of_piece(const struct residency *residency, const struct residency_piece *piece);

// The piece of a region, or NULL.
const struct residency_piece *residency_piece_of(const struct residency *residency, size_t region);

#endif
