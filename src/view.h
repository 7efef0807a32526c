// A view: one way of reading somebody's memory. The reader walks a heap through it and does not
// know whether the bytes are its own, another process's, a core file's or a copy's.
#ifndef LUCID_VIEW_H
#define LUCID_VIEW_H

#include "base.h"

struct view {
    // Copies up to `length` bytes at `address` to `to`; returns how many could be read before the
    // first one that could not.
    size_t (*read)(void *context, uint64_t address, void *to, size_t length);
    void *context;
};

// False unless all of it could be read.
bool view_read(const struct view *view, uint64_t address, void *to, size_t length);

#endif
