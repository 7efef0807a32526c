// Random replacement: each thread has a table of blocks, and replaces one of them after the other
// by a new one, at random.
// Arguments: THREADS OPERATIONS SLOTS (per thread)
#ifndef BENCH_REPLACE_H
#define BENCH_REPLACE_H

#include "team.h"

// Makes one block, marked by item_new with this tag.
typedef void *replace_make(struct rng *r, uint32_t tag);

struct replacing {
    replace_make *make;
    uint32_t operations;
    uint32_t slots;
};

static inline void *replace_work(void *member) {
    struct member *me = member;
    const struct replacing *plan = me->shared;
    void **slots = must(calloc(plan->slots, sizeof *slots));
    struct rng r = rng_seed(me->index);
    for (uint32_t i = 0; i < plan->operations; i++) {
        void **slot = &slots[rng_below(&r, plan->slots)];
        if (*slot != NULL) {
            me->sum += item_free(*slot);
        }
        *slot = plan->make(&r, i);
    }
    for (uint32_t i = 0; i < plan->slots; i++) {
        if (slots[i] != NULL) {
            me->sum += item_free(slots[i]);
        }
    }
    free(slots);
    return NULL;
}

static inline int replace_run(int argc, char **argv, replace_make *make) {
    static struct member team[TEAM_MOST];
    uint32_t threads = argument(argc, argv, 1, 1);
    struct replacing plan = {make, argument(argc, argv, 2, 100000), argument(argc, argv, 3, 1000)};
    return report(team_run(team, threads, replace_work, &plan));
}

#endif
