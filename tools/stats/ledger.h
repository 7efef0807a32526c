// Every resident byte of a target, told apart by what it is there for. The parts add up to what
// the kernel counts as resident; the difference is kept and shown.
#ifndef LUCID_STATS_LEDGER_H
#define LUCID_STATS_LEDGER_H

#include "heap/session.h"
#include "residency.h"

enum ledger_part {
    PART_LIVE,     // blocks in use, as far as the program asked for them
    PART_SLACK,    // of large blocks and mappings: what they have beyond that
    PART_PARTIAL,  // free blocks, and what belongs to none, in pages that hold a block in use
    PART_CACHED,   // blocks in the bins of threads
    PART_DIRTY,    // pages that hold nothing, and could be given back
    PART_METADATA, // lucid's own tables
    PART_FILES,    // not lucid's: programs, libraries, mapped files
    PART_STACKS,
    PART_OTHER, // other mappings
    PART_COUNT,
};

extern const char *const part_names[PART_COUNT];
extern const char *const part_titles[PART_COUNT];

// How the bytes of one page of a span are used.
struct page_use {
    uint32_t used;
    uint32_t cached;
};

struct ledger_class {
    uint64_t spans;
    uint64_t blocks; // in use
    uint64_t live;   // resident bytes of these
    uint64_t cached_blocks;
    uint64_t cached;
    uint64_t partial;
    uint64_t dirty;
};

struct ledger {
    uint64_t part[PART_COUNT]; // resident bytes
    struct ledger_class classes[CLASS_COUNT];
    uint64_t sum;     // of all parts
    uint64_t total;   // as the kernel counts it; equal to `sum` when it does not
    bool counted;     // it does
    bool estimated;   // a core: see residency.h
    uint64_t swapped; // not resident
    uint64_t huge;
    uint64_t zeros;
    // The blocks in use, resident or not.
    uint64_t small_blocks;
    uint64_t small_bytes;
    uint64_t small_slack_most; // no more of them can be slack, by the sizes of the classes;
                               // in hardened mode just as much is
    bool hardened;
    uint64_t large_blocks;
    uint64_t large_asked;
    uint64_t mapping_blocks;
    uint64_t mapping_asked;
    uint64_t guarded_blocks; // samples between guard pages
    uint64_t guarded_asked;
    uint64_t untouched;   // bytes of them that are not in memory
    uint64_t quarantined; // bytes of freed blocks that hardened mode holds back; in PART_CACHED
    uint64_t dirty_pool;  // of PART_DIRTY: in the pool
    uint64_t dirty_spans; // whole pages of spans
    uint64_t dirty_top;   // the end of the arena
    // What a running target did meanwhile.
    uint64_t moved; // bytes of runs that changed while they were read
    uint64_t grown; // by how much the heap was larger or smaller afterwards
};

// Takes the heap and the pages apart. With --freeze, or while a running target moves too fast for
// the sum to close, the snapshot is taken anew. False: a sentence has been printed, unless `quiet`.
bool ledger_take(struct ledger *ledger, struct session *session, bool quiet);

// The same for a heap that has been copied before and is copied anew. Prints nothing.
bool ledger_take_again(struct ledger *ledger, struct session *session);

// The first, leaving the page states with the caller (residency_free).
bool ledger_take_pages(struct ledger *ledger, struct session *session, struct residency *residency,
                       bool quiet);

// Sum less total, and whether they agree within 1%.
int64_t ledger_residue(const struct ledger *ledger);
bool ledger_closes(const struct ledger *ledger);

// The parts, their sum and what stands beside them, as members of the object that is open.
void ledger_json_parts(struct json *json, const struct ledger *ledger);

// Fills one entry for each page of a span; `pages` has room for all. Returns how many there are.
size_t ledger_span_use(const struct snapshot *snapshot, const struct reader_run *span,
                       struct page_use **pages, size_t *room);

// Bytes of the blocks in a heap's bins.
uint64_t ledger_heap_cached(const struct snapshot *snapshot, const struct snapshot_heap *heap);

#endif
