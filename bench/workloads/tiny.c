// Tiny blocks that live for a moment, one thread: what big-number arithmetic, parsers and
// closures do. A handful of temporaries per step, freed in nested order, over a small stock.
// Arguments: STEPS
#include "common.h"

enum { STOCK = 96 };

static uint64_t step(struct rng *r, void **stock) {
    uint64_t sum = 0;
    uint64_t dice = rng_next(r);
    uint32_t tag = (uint32_t)dice;
    void *a = item_new(8 + (tag & 24), tag);
    void *b = item_new(16 + ((tag >> 5) & 40), tag + 1);
    uint32_t slot = (uint32_t)((dice >> 32) % STOCK);
    if (stock[slot] != NULL) {
        sum += item_free(stock[slot]);
    }
    stock[slot] = a;
    void *c = item_new(8 + ((tag >> 9) & 63), tag + 2);
    sum += item_free(c);
    sum += item_free(b);
    return sum;
}

int main(int argc, char **argv) {
    uint32_t steps = argument(argc, argv, 1, 1000000);
    void *stock[STOCK] = {NULL};
    struct rng r = rng_seed(1);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < steps; i++) {
        sum += step(&r, stock);
    }
    for (int i = 0; i < STOCK; i++) {
        if (stock[i] != NULL) {
            sum += item_free(stock[i]);
        }
    }
    return report(sum);
}
