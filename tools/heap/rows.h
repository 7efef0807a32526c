// The heap as rows in address order: blocks, and what lies between them.
#ifndef LUCID_HEAP_ROWS_H
#define LUCID_HEAP_ROWS_H

#include "snapshot.h"

enum row_kind {
    ROW_SMALL,    // a block of a span
    ROW_LARGE,    // a block of its own run
    ROW_MAPPING,  // a block of its own mmap
    ROW_UNCARVED, // the blocks of a span that were never handed out
    ROW_POOL,     // units that are free
    ROW_FOREIGN,
    ROW_MOVING, // between two purposes while it was read
    ROW_TOP,
    ROW_GUARDED, // a sampled block between guard pages
};

struct row {
    enum row_kind kind;
    enum block_state state; // of the first three kinds
    bool moved;
    uint64_t address;
    uint64_t size;
    uint64_t asked; // of a block without a class
    uint32_t class;
    uint32_t index;  // in its span; of ROW_UNCARVED the first one
    uint32_t blocks; // ROW_UNCARVED: how many
    uint32_t birth;
    const struct snapshot_heap *heap; // of a cached block
    uint64_t own_heap;                // address of the program's own heap it belongs to, or 0
};

// A cursor over the rows.
struct rows {
    struct snapshot *snapshot;
    struct reader_run run;
    bool in_run;
    bool moved;
    uint32_t index; // next block of the span
    uint64_t cached[SPAN_WORDS];
    size_t cached_at;
    size_t mapping_at;
    bool top_done;
};

extern const char *const row_kind_names[9];

void rows_begin(struct rows *rows, struct snapshot *snapshot);

// Begins with the run whose head is given.
void rows_begin_at(struct rows *rows, struct snapshot *snapshot, const struct reader_run *run);
bool rows_next(struct rows *rows, struct row *row);

// The row an address lies in. False: it is neither in the arena nor in a mapping.
bool rows_find(struct snapshot *snapshot, uint64_t address, struct row *row);

// What a row is called: "used", "cached", "free", "untouched", "pool", ...
const char *row_name(const struct row *row);

static inline bool row_is_block(const struct row *row) {
    return row->kind == ROW_SMALL || row->kind == ROW_LARGE || row->kind == ROW_MAPPING ||
           row->kind == ROW_GUARDED;
}

// A block for which the heap knows what the program asked for.
static inline bool row_has_asked(const struct row *row) {
    return row_is_block(row) && row->kind != ROW_SMALL;
}

// A cached block's bin, or NULL. `at` is moved along; blocks are asked for in address order.
const struct snapshot_heap *rows_heap_of(const struct snapshot *snapshot, uint64_t address,
                                         size_t *at);

#endif
