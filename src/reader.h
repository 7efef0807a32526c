// The reader: one walker over a lucid heap, whoever's memory it lies in. It believes nothing it
// reads: every number is checked against the others before it is used as an address, a length or
// an index, so that a damaged heap or a forged root leads to a fault with a name, never further.
//
// It allocates nothing. The caller lends a window for run records; the more it holds, the fewer
// reads are needed. Structures of the same layout version may be larger than this reader knows:
// sizes and offsets are taken from the description in the root.
#ifndef LUCID_READER_H
#define LUCID_READER_H

#include "layout.h"
#include "view.h"

enum reader_fault {
    READER_FINE,
    READER_UNREADABLE, // memory at `where` cannot be read
    READER_NO_ROOT,    // the magic is not there
    READER_COPY,       // a copy of a root: it says it lives at `value`
    READER_VERSION,    // layout version `value`
    READER_LAYOUT,     // the same version, but `what` (`value`) differs from this reader's
    READER_UNUSED,     // a root of a lucid that has not been asked for memory yet
    READER_DAMAGED,    // `what` is impossible: `value`
};

struct reader {
    const struct view *view;
    uint64_t root; // its address
    struct root_fixed fixed;
    struct root_live live;
    struct lane lanes[LANES]; // what live.lanes points at
    unsigned char *window;    // the caller's
    size_t window_size;
    uint64_t window_first; // unit whose record comes first in the window
    uint64_t window_count;
    // What was wrong, after a function has failed.
    enum reader_fault fault;
    const char *what; // name of the field
    uint64_t where;
    uint64_t value;
};

// One run of the arena with everything its record says.
struct reader_run {
    uint64_t head; // unit number
    uint64_t units;
    uint64_t start; // addresses
    uint64_t end;
    enum run_kind kind; // RUN_NONE: no run begins here; the units up to the next head
    uint32_t birth;
    uint32_t dirty;
    uint64_t asked; // large: bytes the program asked for
    uint32_t state; // span, as in spanstate.h
    uint32_t class; // span; the rest too
    uint32_t block_size;
    uint32_t blocks;
    uint32_t carved;
    uint64_t region; // span, large: address of the region it belongs to, or 0
    uint64_t free[SPAN_WORDS];
};

struct reader_heap {
    uint64_t address;
    uint32_t state; // enum heap_state
    uint32_t tid;   // 0: the main thread
    uint32_t index; // in the registry
    // While blocks are given back: the oldest `flush_count` of this class's bin. Some of them may
    // be free already, or another thread's by now.
    uint32_t flush_class;
    uint32_t flush_count;
    uint64_t fences; // address of the array, or 0
    uint64_t next;
};

// A heap of the program's own.
struct reader_region {
    uint64_t address;
    uint32_t state; // enum region_state
    uint32_t index; // in the registry
    char name[REGION_NAME_ROOM];
    uint64_t next;
};

// A bin's blocks lie at [first, top) in the target, oldest first: see reader_block.
struct reader_bin {
    uint64_t first;
    uint64_t top;
    uint64_t end;
    uint32_t count; // slots in use; some may be empty while the thread sleeps
    uint32_t capacity;
    struct fence fence;
};

// Takes the root at `root` apart. False: see `fault`. `window` holds at least one run record
// (READER_RECORD_MAX bytes are always enough) and stays in use.
#define READER_RECORD_MAX 4096u
bool reader_open(struct reader *reader, const struct view *view, uint64_t root, void *window,
                 size_t window_size);

// Reads the changing half of the root again, and the lanes.
bool reader_refresh(struct reader *reader);

// The run that begins at unit `head`; 1 <= head < top. A RUN_NONE comes back when none does: the
// tables were changing, or are damaged. False: see `fault`.
bool reader_run_at(struct reader *reader, uint64_t head, struct reader_run *run);

// The first run and the one behind `run`. False: there are no more, or `fault` says what failed.
bool reader_first(struct reader *reader, struct reader_run *run);
bool reader_next(struct reader *reader, struct reader_run *run);

// The raw shape of one unit's record.
bool reader_shape(struct reader *reader, uint64_t unit, uint64_t *shape);

// The registry of heaps: the first one and the one behind `heap`. False as above.
bool reader_first_heap(struct reader *reader, struct reader_heap *heap);
bool reader_next_heap(struct reader *reader, struct reader_heap *heap);

// The registry of regions, in the same way.
bool reader_first_region(struct reader *reader, struct reader_region *region);
bool reader_next_region(struct reader *reader, struct reader_region *region);

// The bin of a class, 1 <= class < CLASS_COUNT. Its numbers are consistent, or it is a fault.
bool reader_bin(struct reader *reader, const struct reader_heap *heap, unsigned class,
                struct reader_bin *bin);

// What is in slot `index` < count of a bin, or kept aside for it. 0: the slot is empty.
bool reader_block(struct reader *reader, const struct reader_bin *bin, uint32_t index,
                  uint64_t *block);

// The head of the span a heap holds for refilling, 0: none.
bool reader_held(struct reader *reader, const struct reader_heap *heap, unsigned class,
                 uint32_t *head);

// Entry `index` of the mapping table, 0 <= index < live.mappings.capacity. `found` is false for
// an empty one.
bool reader_mapping(struct reader *reader, uint32_t index, struct mapping *mapping, bool *found);

// Notes that `what` is impossible. Returns false.
static inline bool reader_damaged(struct reader *reader, const char *what, uint64_t value) {
    reader->fault = READER_DAMAGED;
    reader->what = what;
    reader->value = value;
    return false;
}

static inline uint64_t reader_unit_size(const struct reader *reader) {
    return (uint64_t)1 << reader->fixed.layout.unit_shift;
}

static inline uint64_t reader_address(const struct reader *reader, uint64_t unit) {
    return reader->fixed.base + (unit << reader->fixed.layout.unit_shift);
}

static inline uint64_t reader_top(const struct reader *reader) {
    return __atomic_load_n((const uint64_t *)(const void *)&reader->live.top, __ATOMIC_RELAXED);
}

// Metadata, units and runs lie in this order from meta_start to here, rounded up to a page.
static inline uint64_t reader_tables_end(const struct reader *reader) {
    uint64_t runs = reader->fixed.capacity * reader->fixed.layout.size_run;
    return align_up((uint64_t)(uintptr_t)reader->fixed.runs + runs, reader->fixed.page_size);
}

static inline bool reader_in_arena(const struct reader *reader, uint64_t address) {
    return address >= reader->fixed.base &&
           address - reader->fixed.base < reader->live.limit << reader->fixed.layout.unit_shift;
}

#endif
