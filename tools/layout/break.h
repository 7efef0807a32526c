// The program break and what lies around it, the way sbrk(2) and the linker see it.
#ifndef LUCID_LAYOUT_BREAK_H
#define LUCID_LAYOUT_BREAK_H

#include "layout/process.h"
#include "target/image.h"

enum known {
    KNOWN_NOT,
    KNOWN_SYMBOL,
    KNOWN_HEADERS,
    KNOWN_SECTION,
    KNOWN_KERNEL,
    KNOWN_SEGMENT,
    KNOWN_LIBC
};

struct place {
    uint64_t address;
    enum known by;
};

struct break_map {
    struct place etext;
    struct place edata;
    struct place end;
    struct place start;            // of the break
    struct place now;              // sbrk(0)
    uint64_t text_start, text_end; // the executable segment
    uint64_t data_start;           // the writable one; its file-backed part ends at edata
    bool gap_known;
    uint64_t gap;       // from end to the start of the break
    uint64_t allocated; // really obtained with brk
    // Who has what of it: the arena of lucid, or everything one allocator's.
    bool lucid;
    uint64_t arena_base;
    uint64_t arena_end;
    uint64_t ours;
    uint64_t foreign;
    uint64_t tables_start; // lucid's metadata, far from everything else
    uint64_t tables_end;
};

void break_read(struct break_map *map, const struct target *target, const struct process *process,
                const struct images *images);

const char *break_source(enum known by);

#endif
