// Sizes from 16 bytes to 32 KiB, allocated, zero-allocated, resized and freed at random.
// Arguments: THREADS OPERATIONS SLOTS (per thread)
#include "team.h"

struct plan {
    uint32_t operations;
    uint32_t slots;
};

static void *resize(void *p, uint32_t size, uint64_t *sum) {
    *sum += item_check(p);
    uint32_t tag = ((struct item *)p)->tag;
    struct item *q = must(realloc(p, size));
    if (q->tag != tag) {
        fail("realloc lost the contents of a block");
    }
    return item_mark(q, size, tag + 1);
}

static void *zeroed(uint32_t size, uint32_t tag) {
    const unsigned char *p = must(calloc(1, size));
    if (p[0] != 0 || p[size / 2] != 0 || p[size - 1] != 0) {
        fail("calloc returned memory that is not zero");
    }
    return item_mark((void *)(uintptr_t)p, size, tag);
}

static void operate(struct rng *r, void **slot, uint64_t *sum) {
    uint64_t dice = rng_next(r);
    uint32_t size = rng_doubling(r, 4, (dice & 3) != 0 ? 10 : 15);
    uint32_t choice = (uint32_t)(dice >> 8) % 10;
    uint32_t tag = (uint32_t)(dice >> 32);
    if (*slot != NULL && choice < 3) {
        *slot = resize(*slot, size, sum);
        return;
    }
    if (*slot != NULL) {
        *sum += item_free(*slot);
        *slot = NULL;
    }
    if (choice < 8) {
        *slot = item_new(size, tag);
    } else if (choice == 8) {
        *slot = zeroed(size, tag);
    }
}

static void *work(void *member) {
    struct member *me = member;
    const struct plan *plan = me->shared;
    void **slots = must(calloc(plan->slots, sizeof *slots));
    struct rng r = rng_seed(me->index);
    for (uint32_t i = 0; i < plan->operations; i++) {
        operate(&r, &slots[rng_below(&r, plan->slots)], &me->sum);
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
    uint32_t threads = argument(argc, argv, 1, 2);
    struct plan plan = {argument(argc, argv, 2, 500000), argument(argc, argv, 3, 1024)};
    return report(team_run(team, threads, work, &plan));
}
