// The pages of a living target that are in memory or swapped out, part by part: an address space
// may be a thousand times as large as the memory in it, and a look at each page of it takes longer
// than anything else.
#ifndef LUCID_TARGET_TOUCHED_H
#define LUCID_TARGET_TOUCHED_H

#include "target.h"

#define TOUCHED_RUNS 256u

// As the kernel fills it in.
struct touched_run {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct touched {
    int fd; // the target's page map
    uint64_t page;
    uint64_t at; // from here to `end` nothing was asked yet
    uint64_t end;
    bool scans;  // the kernel knows of PAGEMAP_SCAN
    bool failed; // the target ended under way
    struct touched_run runs[TOUCHED_RUNS];
    size_t count;
    size_t next; // of these the first that was not handed out
};

// False: not known (a core; a kernel without pagemap; no right to read it).
bool touched_begin(struct touched *walk, const struct target *target, uint64_t start, uint64_t end);

// The next part, of whole pages. Small gaps between two are part of it. False: no more.
bool touched_next(struct touched *walk, uint64_t *from, uint64_t *to);

void touched_end(struct touched *walk);

// PAGEMAP_SCAN: runs of pages in [*at, end) with one of these categories, and *at moves behind what
// was looked at. -1: a kernel before 6.7.
#define TOUCHED_PRESENT ((uint64_t)1 << 3)
#define TOUCHED_SWAPPED ((uint64_t)1 << 4)
#define TOUCHED_ZEROS ((uint64_t)1 << 5)
int touched_scan(int fd, uint64_t *at, uint64_t end, uint64_t categories, struct touched_run *runs);

#endif
