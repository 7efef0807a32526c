// Aligned allocation: 32 bytes to a page are common, 64 KiB is rare; random replacement.
// Arguments: OPERATIONS SLOTS
#include "common.h"

static void *aligned(struct rng *r, uint32_t tag) {
    uint32_t dice = rng_below(r, 1024);
    size_t alignment = dice == 0 ? 65536 : (size_t)32 << (dice % 8);
    uint32_t size = rng_pareto(r, 32, 8192);
    void *p = NULL;
    if (posix_memalign(&p, alignment, size) != 0) {
        fail("posix_memalign failed; more memory or smaller arguments are needed");
    }
    if (((uintptr_t)p & (alignment - 1)) != 0) {
        fail("posix_memalign returned a block that is not aligned");
    }
    return item_mark(p, size, tag);
}

int main(int argc, char **argv) {
    uint32_t operations = argument(argc, argv, 1, 500000);
    uint32_t slot_count = argument(argc, argv, 2, 5000);
    void **slots = must(calloc(slot_count, sizeof *slots));
    struct rng r = rng_seed(3);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < operations; i++) {
        uint32_t k = rng_below(&r, slot_count);
        if (slots[k] != NULL) {
            sum += item_free(slots[k]);
        }
        slots[k] = aligned(&r, i);
    }
    for (uint32_t k = 0; k < slot_count; k++) {
        if (slots[k] != NULL) {
            sum += item_free(slots[k]);
        }
    }
    free(slots);
    return report(sum);
}
