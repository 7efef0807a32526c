// Where in a target's address space something of its lucid heap lies.
#ifndef LUCID_STATS_PLACE_H
#define LUCID_STATS_PLACE_H

#include "ledger.h"

struct places {
    struct residency_range *list; // by address, page by page, not overlapping
    bool *metadata;               // of each: it holds tables, not blocks
    size_t count;
    size_t capacity;
};

void places_find(struct places *places, const struct snapshot *snapshot);
void places_free(struct places *places);

// What a region that is not lucid's counts as.
enum ledger_part places_part(const struct snapshot *snapshot, const struct region *region);

// What hardened mode knows of its blocks. False: it is off, or cannot be read.
bool places_hardened(const struct snapshot *snapshot, struct hardened *hardened);

#endif
