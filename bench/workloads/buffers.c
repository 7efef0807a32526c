// Buffers of 4 to 256 KiB, each doubling as likely as any other, that are filled in part, as by what is
// read into them. Each thread replaces its own at random.
// Arguments: THREADS OPERATIONS SLOTS (per thread)
#include "team.h"

struct plan {
    uint32_t operations;
    uint32_t slots;
};

static void *buffer_new(struct rng *r, uint32_t tag) {
    uint32_t size = rng_doubling(r, 12, 18);
    char *buffer = item_new(size, tag);
    uint32_t filled = rng_between(r, 64, size / 2);
    memset(buffer + filled / 2, (int)tag, filled / 2);
    return buffer;
}

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
        *slot = buffer_new(&r, i);
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
    struct plan plan = {argument(argc, argv, 2, 100000), argument(argc, argv, 3, 200)};
    return report(team_run(team, threads, work, &plan));
}
