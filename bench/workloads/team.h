// Threads for the workloads: start some, wait for all, add up what they return.
#ifndef BENCH_TEAM_H
#define BENCH_TEAM_H

#include <pthread.h>

#include "common.h"

enum { TEAM_MOST = 256 };

// What a thread writes all the time is to lie on cache lines of its own, and on none that the
// processor fetches along with another's: the workload measures the allocator's lines, not these.
#define APART __attribute__((aligned(128)))

struct APART member {
    pthread_t thread;
    uint32_t index; // 0 to members - 1
    uint64_t sum;   // the member's share of the checksum
    void *shared;   // what all members have in common
};

static inline void team_start(struct member *team, uint32_t members, void *(*run)(void *),
                              void *shared) {
    if (members > TEAM_MOST) {
        fail("too many threads: at most 256");
    }
    for (uint32_t i = 0; i < members; i++) {
        team[i].index = i;
        team[i].sum = 0;
        team[i].shared = shared;
        if (pthread_create(&team[i].thread, NULL, run, &team[i]) != 0) {
            fail("a thread could not be started");
        }
    }
}

static inline uint64_t team_wait(struct member *team, uint32_t members) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < members; i++) {
        if (pthread_join(team[i].thread, NULL) != 0) {
            fail("a thread could not be joined");
        }
        sum += team[i].sum;
    }
    return sum;
}

static inline uint64_t team_run(struct member *team, uint32_t members, void *(*run)(void *),
                                void *shared) {
    team_start(team, members, run, shared);
    return team_wait(team, members);
}

#endif
