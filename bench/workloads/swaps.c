// Bursts that cross threads: each thread fills a batch, leaves it in a mailbox, takes whatever
// lay there and frees it. With several mailboxes a batch may wait for long.
// Arguments: THREADS ROUNDS BLOCKS (per batch) MAILBOXES LEAST MOST (size of a block)
#include <stdatomic.h>

#include "team.h"

struct batch {
    uint32_t blocks;
    void *block[];
};

static uint32_t rounds;
static uint32_t blocks;
static uint32_t mailboxes;
static uint32_t least;
static uint32_t most;
static struct batch *_Atomic *mailbox;

static uint64_t empty(struct batch *batch) {
    uint64_t sum = 0;
    if (batch != NULL) {
        for (uint32_t i = 0; i < batch->blocks; i++) {
            sum += item_free(batch->block[i]);
        }
        free(batch);
    }
    return sum;
}

static struct batch *fill(struct rng *r) {
    struct batch *batch = must(malloc(sizeof *batch + blocks * sizeof batch->block[0]));
    batch->blocks = blocks;
    for (uint32_t i = 0; i < blocks; i++) {
        batch->block[i] = item_new(rng_between(r, least, most), i);
    }
    return batch;
}

static void *work(void *member) {
    struct member *me = member;
    struct rng r = rng_seed(me->index);
    for (uint32_t i = 0; i < rounds; i++) {
        uint32_t k = rng_below(&r, mailboxes);
        me->sum += empty(atomic_exchange(&mailbox[k], fill(&r)));
    }
    return NULL;
}

int main(int argc, char **argv) {
    static struct member team[TEAM_MOST];
    uint32_t threads = argument(argc, argv, 1, 2);
    rounds = argument(argc, argv, 2, 1000);
    blocks = argument(argc, argv, 3, 500);
    mailboxes = argument(argc, argv, 4, 16);
    least = argument(argc, argv, 5, 16);
    most = argument(argc, argv, 6, 256);
    if (least < sizeof(struct item) || most < least) {
        fail("sizes must be at least 8, and the most no smaller than the least");
    }
    mailbox = must(calloc(mailboxes, sizeof *mailbox));
    uint64_t sum = team_run(team, threads, work, NULL);
    for (uint32_t i = 0; i < mailboxes; i++) {
        sum += empty(atomic_load(&mailbox[i]));
    }
    free((void *)mailbox);
    return report(sum);
}
