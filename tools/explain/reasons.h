// The numbers that `lucid explain` tells: what holds most memory, and what would return some.
#ifndef LUCID_EXPLAIN_REASONS_H
#define LUCID_EXPLAIN_REASONS_H

#include "settings.h"
#include "sparse.h"

#define REASONS_SHOWN 3u

struct reason_large {
    uint64_t address;
    uint64_t asked;
    bool mapping;
};

struct reason_thread {
    pid_t tid;
    const char *name;
    bool asleep;
    uint64_t cached; // bytes in its bins
};

struct reasons {
    struct ledger ledger;
    struct residency residency;
    struct sparse sparse;
    // What holds most, most first.
    unsigned classes[REASONS_SHOWN];
    size_t class_count;
    struct reason_large large[REASONS_SHOWN];
    size_t large_count;
    struct reason_thread threads[REASONS_SHOWN];
    size_t thread_count;
    // All threads with a heap.
    uint64_t thread_total;
    bool states_known; // a live target that runs: asleep or not
    uint64_t asleep;
    uint64_t cached; // bytes in bins
    uint64_t asleep_cached;
    uint64_t ended_cached; // in the bins of threads that have ended
    // What a trim returns.
    uint64_t trim_pool;
    uint64_t trim_spans; // 0 in hardened mode, which keeps free blocks as they are
    struct settings settings;
};

// False: a sentence has been printed.
bool reasons_take(struct reasons *reasons, struct session *session);
void reasons_free(struct reasons *reasons);

// Resident bytes that a size class holds, its free ones too.
uint64_t reasons_held(const struct ledger_class *class);

#endif
