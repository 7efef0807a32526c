// Random replacement over a large live set, Pareto sizes to 1 KiB.
// Arguments: THREADS OPERATIONS SLOTS (per thread)
#include "team.h"

struct plan {
    uint32_t operations;
    uint32_t slots;
};

static void *work(void *member) {
    struct member *me = member;
    const struct plan *plan = me->shared;
    void **slots = must(calloc(plan->slots, sizeof *slots));
    struct rng r = rng_seed(me->index);
    for (uint32_t i = 0; i < plan->operations; i++) {
        void **slot = &slots[rng_below(&r, plan->slots)];
        if (*slot != NULL) {
            me->sum += item_free(*slot);
        }
        *slot = item_new(rng_pareto(&r, 8, 1024), i);
    }
    for (uint32_t i = 0; i < plan->slots; i++) {
        if (slots[i] != NULL) {
            me->sum += item_free(slots[i]);
        }
    }
    free(slots);
    return NULL;
}

int main(int argc, char **argv) {
    static struct member team[TEAM_MOST];
    uint32_t threads = argument(argc, argv, 1, 1);
    struct plan plan = {argument(argc, argv, 2, 2000000), argument(argc, argv, 3, 262144)};
    return report(team_run(team, threads, work, &plan));
}
