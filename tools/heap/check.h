// The rules a heap keeps, checked from outside. Each broken one becomes a finding.
#ifndef LUCID_HEAP_CHECK_H
#define LUCID_HEAP_CHECK_H

#include "snapshot.h"

#define FINDINGS_MAX 1000u

struct finding {
    const char *rule; // a short name that stays, for scripts and for comparing two looks
    uint64_t address;
    uint64_t value;
    bool open; // a thread in the middle of a step would explain it, and there may be one
    char text[256];
};

struct findings {
    struct finding *list;
    size_t count;
    size_t capacity;
    uint64_t more; // beyond FINDINGS_MAX
    // What was looked at.
    uint64_t runs;
    uint64_t blocks;
    uint64_t cached;
    uint64_t moved; // runs left out because they changed while they were read
};

void findings_add(struct findings *findings, const char *rule, uint64_t address, uint64_t value,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
// The last one added is only one if no thread is in the middle of a step.
void findings_leave_open(struct findings *findings);
void findings_free(struct findings *findings);

// Of a lock in a copy: nobody was in the middle of what it guards.
static inline bool lock_is_free(const _Atomic uint32_t *lock) {
    return __atomic_load_n((const uint32_t *)(const void *)lock, __ATOMIC_RELAXED) == 0;
}

// Is a thread that stands still in the middle of making this span, or of giving its units back?
bool span_in_transit(const struct snapshot *snapshot, const struct reader_run *run);

// One look at a snapshot.
void check_snapshot(struct findings *findings, struct snapshot *snapshot);

// Its parts.
void check_runs(struct findings *findings, struct snapshot *snapshot);
void check_bins(struct findings *findings, struct snapshot *snapshot);
void check_lists(struct findings *findings, struct snapshot *snapshot);
void check_totals(struct findings *findings, struct snapshot *snapshot);
void check_mappings(struct findings *findings, struct snapshot *snapshot);

#endif
