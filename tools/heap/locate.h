// Finding the roots of all lucid heaps in a target: by ELF note, by dynamic symbol, by the magic.
#ifndef LUCID_HEAP_LOCATE_H
#define LUCID_HEAP_LOCATE_H

#include "target/target.h"

#define LOCATE_MAX 16u

struct root_place {
    uint64_t address;
    const char *how; // "ELF note", "symbol lucid_root", "magic"
    char where[256]; // file that brings it
};

struct root_places {
    struct root_place list[LOCATE_MAX];
    size_t count;
    bool left_out; // a core names a root whose memory is not in it
    // Code of the libraries that bring the roots: a thread that runs there is inside lucid.
    struct {
        uint64_t start, end;
    } code[LOCATE_MAX];
};

void locate_roots(struct root_places *places, const struct target *target);

#endif
