// Bursts: many blocks of mixed small sizes are allocated at once and freed newest first, then
// oldest first, then every other one before the rest, over a working set of many megabytes.
// Arguments: THREADS ROUNDS BLOCKS (per burst)
#include "team.h"

struct plan {
    uint32_t rounds;
    uint32_t blocks;
};

static uint64_t free_newest_first(void **all, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t i = n; i-- > 0;) {
        sum += item_free(all[i]);
    }
    return sum;
}

static uint64_t free_oldest_first(void **all, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += item_free(all[i]);
    }
    return sum;
}

static uint64_t free_every_other(void **all, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i += 2) {
        sum += item_free(all[i]);
    }
    for (uint32_t i = 1; i < n; i += 2) {
        sum += item_free(all[i]);
    }
    return sum;
}

static void *work(void *member) {
    struct member *me = member;
    const struct plan *plan = me->shared;
    void **all = must(malloc(plan->blocks * sizeof *all));
    struct rng r = rng_seed(me->index);
    for (uint32_t round = 0; round < plan->rounds; round++) {
        for (uint32_t i = 0; i < plan->blocks; i++) {
            // Runs of one size, as a program that builds lists and trees makes them.
            uint32_t size = 16 + ((i >> 6) * 24 + round * 8) % 496;
            all[i] = item_new(size, (uint32_t)rng_next(&r));
        }
        switch (round % 3) {
        case 0:
            me->sum += free_newest_first(all, plan->blocks);
            break;
        case 1:
            me->sum += free_oldest_first(all, plan->blocks);
            break;
        default:
            me->sum += free_every_other(all, plan->blocks);
        }
    }
    free(all);
    return NULL;
}

int main(int argc, char **argv) {
    static struct member team[TEAM_MOST];
    uint32_t threads = argument(argc, argv, 1, 1);
    struct plan plan = {argument(argc, argv, 2, 60), argument(argc, argv, 3, 40000)};
    return report(team_run(team, threads, work, &plan));
}
