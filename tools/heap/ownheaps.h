// The heaps of a program's own (lucid_heap_new; inside the library they are regions, src/region.h)
// and what belongs to each.
#ifndef LUCID_HEAP_OWNHEAPS_H
#define LUCID_HEAP_OWNHEAPS_H

#include "check.h"
#include "snapshot.h"
#include "util/json.h"

struct own_heap {
    uint64_t address; // what the program calls it by
    char name[REGION_NAME_ROOM];
    bool live; // else it has ended
    uint64_t spans;
    uint64_t larges;
    uint64_t mappings;
    uint64_t blocks; // in use
    uint64_t used;   // bytes of them
    uint64_t bytes;  // of its spans, large blocks and mappings
};

struct own_heaps {
    struct own_heap *list; // by address, the ended ones among them
    size_t count;
    size_t live;
};

// False: something cannot be read; snapshot->reader.fault says why.
bool own_heaps_take(struct own_heaps *heaps, struct snapshot *snapshot);
void own_heaps_free(struct own_heaps *heaps);

// NULL: there is none at this address.
struct own_heap *own_heaps_at(const struct own_heaps *heaps, uint64_t address);

// A table, or nothing if none is live; and the member "own_heaps".
void own_heaps_print(const struct own_heaps *heaps, struct out *out);
void own_heaps_json(const struct own_heaps *heaps, struct json *json);

// The rule that what belongs to a heap belongs to one that there is.
void check_own_heaps(struct findings *findings, struct snapshot *snapshot);

#endif
