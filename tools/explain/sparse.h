// Pages of spans that a few blocks in use keep in memory. A page is sparse when it is resident,
// holds something in use, and at most `below` percent of it is.
#ifndef LUCID_EXPLAIN_SPARSE_H
#define LUCID_EXPLAIN_SPARSE_H

#include "stats/ledger.h"

#define SPARSE_BELOW 25u

// Of a span, of a class, or of all.
struct sparse_sum {
    uint64_t spans;
    uint64_t resident;     // bytes
    uint64_t used;         // bytes of blocks in use, on resident pages
    uint64_t cached;       // bytes of blocks in bins, likewise
    uint64_t empty;        // bytes of resident pages without any block
    uint64_t kept;         // of these, in spans of the program's own heaps, which no trim takes
    uint64_t bins_only;    // bytes of resident pages whose only blocks are in bins
    uint64_t used_pages;   // resident pages with something in use
    uint64_t sparse_pages; // of these
    uint64_t blocks;       // in use, with a byte on a sparse page: they pin it
    uint64_t block_bytes;
    uint64_t returns; // bytes of the pages that would hold nothing if these blocks were free
};

struct sparse_span {
    uint64_t head; // unit number
    uint64_t start;
    uint32_t class;
    struct sparse_sum sum;
};

struct sparse {
    unsigned below; // percent
    struct sparse_sum total;
    struct sparse_sum classes[CLASS_COUNT];
    struct sparse_span *spans; // those with sparse pages, most returned bytes first
    size_t count;
    size_t capacity;
};

// Looks at every span of the session's snapshot.
void sparse_find(struct sparse *sparse, struct session *session, struct residency *residency,
                 unsigned below);
void sparse_free(struct sparse *sparse);

// The addresses of the blocks that pin a span's sparse pages, at most `room`. Returns how many.
size_t sparse_blocks(const struct sparse *sparse, struct session *session,
                     struct residency *residency, const struct sparse_span *span,
                     uint64_t *addresses, size_t room);

#endif
