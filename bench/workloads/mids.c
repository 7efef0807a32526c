// Sizes from 16 bytes to 16 KiB, each as likely as any other; every thread keeps a table of
// blocks, replaces some of them, and swaps the whole table with whoever comes next.
// Arguments: THREADS ROUNDS SLOTS (per table)
#include <stdatomic.h>

#include "team.h"

static uint32_t rounds;
static uint32_t slots;
static void **_Atomic parked;

static uint64_t replace(struct rng *r, void **table) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < slots / 2; i++) {
        void **slot = &table[rng_below(r, slots)];
        if (*slot != NULL) {
            // Checked, but not summed: who frees which block depends on the scheduler.
            (void)item_free(*slot);
        }
        *slot = item_new(rng_between(r, 16, 16384), (uint32_t)rng_next(r));
        sum += item_check(*slot);
    }
    return sum;
}

static void clear(void **table) {
    for (uint32_t i = 0; table != NULL && i < slots; i++) {
        if (table[i] != NULL) {
            (void)item_free(table[i]);
        }
    }
    free(table);
}

static void *work(void *member) {
    struct member *me = member;
    struct rng r = rng_seed(me->index);
    void **table = must(calloc(slots, sizeof *table));
    for (uint32_t i = 0; i < rounds; i++) {
        me->sum += replace(&r, table);
        void **other = atomic_exchange(&parked, table);
        table = other != NULL ? other : must(calloc(slots, sizeof *table));
    }
    clear(table);
    return NULL;
}

int main(int argc, char **argv) {
    static struct member team[TEAM_MOST];
    uint32_t threads = argument(argc, argv, 1, 2);
    rounds = argument(argc, argv, 2, 500);
    slots = argument(argc, argv, 3, 1000);
    uint64_t sum = team_run(team, threads, work, NULL);
    clear(atomic_load(&parked));
    return report(sum);
}
