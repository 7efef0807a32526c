// Random replacement over a large live set, Pareto sizes to 1 KiB.
// Arguments: THREADS OPERATIONS SLOTS (per thread)
#include "replace.h"

static void *small_block(struct rng *r, uint32_t tag) {
    return item_new(rng_pareto(r, 8, 1024), tag);
}

int main(int argc, char **argv) {
    return replace_run(argc, argv, small_block);
}
