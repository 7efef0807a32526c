// What the programs of this folder share: threads that work in generations,
// and what must be left at the end.
#ifndef CREW_H
#define CREW_H

#include "testing.h"
#include "walk.h"

#include <pthread.h>

// What each worker begins with.
struct hand {
    pthread_t thread;
    uint64_t state; // of its random numbers
    unsigned steps;
};

static inline struct hand *crew_hand(void *workers, size_t size, unsigned i) {
    return (struct hand *)(void *)((char *)workers + i * size);
}

// One generation of workers of `size` bytes each: all work, and end.
static inline void crew_work(void *workers, size_t size, unsigned threads, void *(*work)(void *),
                             uint64_t *state, unsigned steps) {
    for (unsigned i = 0; i < threads; i++) {
        struct hand *hand = crew_hand(workers, size, i);
        hand->state = *state += 0x9e3779b97f4a7c15u;
        hand->steps = steps;
        REQUIRE(pthread_create(&hand->thread, NULL, work, hand) == 0, "thread %u", i);
    }
    for (unsigned i = 0; i < threads; i++) {
        REQUIRE(pthread_join(crew_hand(workers, size, i)->thread, NULL) == 0, "thread %u", i);
    }
}

static inline unsigned crew_argument(int count, char **values, int i, unsigned otherwise) {
    return count > i ? (unsigned)strtoul(values[i], NULL, 0) : otherwise;
}

static inline void crew_require_nothing_used(void) {
    struct account account;
    walk_account(&account);
    REQUIRE(account.used_blocks == 0 && account.large_count == 0 && account.mapping_count == 0,
            "after all was freed, %llu small blocks, %llu large ones and %llu mappings are in use",
            (unsigned long long)account.used_blocks, (unsigned long long)account.large_count,
            (unsigned long long)account.mapping_count);
}

#endif
