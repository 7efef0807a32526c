// A copy of a heap's tables, taken in a few bulk reads: all commands work on it. Contents of
// blocks are not part of it.
//
// The run records are copied twice, before and after the bins. A run whose record differs between
// the two was moved while it was read; its rows are marked with ~.
#ifndef LUCID_HEAP_SNAPSHOT_H
#define LUCID_HEAP_SNAPSHOT_H

#include "locate.h"
#include "reader.h"
#include "target/target.h"

#define SNAPSHOT_COPIES 8u

struct snapshot_copy {
    uint64_t start;
    size_t length;
    unsigned char *bytes;
};

struct snapshot_cached {
    uint64_t address;
    uint32_t heap; // index into heaps
    uint16_t class;
    uint16_t place; // in its bin, oldest 0
    bool moving;    // its bin was being emptied: it may be free, or another thread's, already
};

struct snapshot_heap {
    struct reader_heap record;
    pid_t tid; // by which others know the thread; of an ended one the number it had for itself
    char name[16 + 1];
    bool inside;                 // its thread stood still inside the allocator
    bool outside;                // its thread stood still elsewhere
    bool moved;                  // some bin was being changed
    uint32_t count[CLASS_COUNT]; // blocks in the bin
    uint32_t held[CLASS_COUNT];
};

struct snapshot {
    struct target *target;
    struct root_place place;
    struct view view; // over the copies
    struct reader reader;
    struct snapshot_copy copies[SNAPSHOT_COPIES];
    size_t copy_count;
    unsigned char *runs; // the first copy of the records
    uint64_t runs_length;
    struct unit *units;
    struct snapshot_heap *heaps;
    size_t heap_count;
    size_t heap_capacity;
    struct snapshot_cached *cached; // by address
    size_t cached_count;
    size_t cached_capacity;
    uint64_t *live; // hardened mode: a bit for each granule behind the base, see struct hardened
    uint64_t live_words;
    struct mapping *mappings; // by address, and among them the pages of guarded blocks in use
    size_t mapping_count;
    size_t mapping_capacity;
    uint64_t guard_start; // of the pool of guard pages
    uint64_t guard_length;
    uint64_t now_ms;      // the clock of run.birth, at the time of reading; 0: unknown
    uint64_t nanoseconds; // that taking it lasted
    bool still;           // nothing could move
    unsigned char window[64 << 10];
};

// False: `snapshot->reader.fault` says what cannot be read.
bool snapshot_take(struct snapshot *snapshot, struct target *target, const struct root_places *all,
                   const struct root_place *place);
void snapshot_free(struct snapshot *snapshot);

// A sentence about the fault, naming the target and what helps.
void snapshot_say_fault(const struct snapshot *snapshot);

// Was the run's record changed while it was read?
bool snapshot_moved(const struct snapshot *snapshot, const struct reader_run *run);

// The cached blocks inside [start, end): index of the first one, and how many.
size_t snapshot_cached_in(const struct snapshot *snapshot, uint64_t start, uint64_t end,
                          size_t *first);

enum block_state { BLOCK_IS_USED, BLOCK_IS_CACHED, BLOCK_IS_FREE };

// States of a span's blocks: bits of those in some bin, or in the quarantine of hardened mode.
// Returns how many there are.
unsigned snapshot_cached_bits(const struct snapshot *snapshot, const struct reader_run *span,
                              uint64_t bits[SPAN_WORDS], size_t *first);

static inline enum block_state span_block_state(const struct reader_run *span,
                                                const uint64_t cached[SPAN_WORDS], uint32_t index) {
    uint64_t bit = (uint64_t)1 << index % 64;
    if (span->free[index / 64] & bit) {
        return BLOCK_IS_FREE;
    }
    return cached[index / 64] & bit ? BLOCK_IS_CACHED : BLOCK_IS_USED;
}

// Is it in the pool of guard pages? What snapshot->mappings has there is a block of a sample, not a
// mapping.
static inline bool snapshot_is_guarded(const struct snapshot *snapshot, uint64_t address) {
    return address - snapshot->guard_start < snapshot->guard_length;
}

extern const char *const block_state_names[3];

#endif
