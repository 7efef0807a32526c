// The one entry from a program's pointer to what is known about it. Everything but the fast
// paths of malloc and free goes through here, so that misuse is recognised in one place.
#ifndef LUCID_BLOCK_H
#define LUCID_BLOCK_H

#include "root.h"

enum block_kind { BLOCK_SMALL, BLOCK_LARGE, BLOCK_MAPPING };

struct block {
    enum block_kind kind;
    uint32_t head;  // of the run; 0 for a mapping
    unsigned class; // small: the size class
    size_t size;    // bytes the program may use
};

// What `pointer` is. pre: pointer != NULL, init_ready(). Panics, naming `function`, unless it is
// the start of a block in use.
struct block block_of(const void *pointer, const char *function);

// A free block carries the process's secret mark in its second word. The mark decides nothing:
// it only makes free look closely at blocks that carry it.
static inline uint64_t *block_mark(void *pointer) {
    return (uint64_t *)pointer + 1;
}

#endif
