// Large blocks, of 5 to 25 MB or as told, that are filled and replaced at random,
// a few of them live.
// Arguments: OPERATIONS LIVE [LEAST MOST (MB)]
#include "common.h"

// Every byte is written; a sample of one byte in each 4 KiB is read back.
static void *filled(uint32_t size, uint32_t tag) {
    void *p = must(malloc(size));
    memset(p, (int)(tag & 0xff), size);
    return item_mark(p, size, tag);
}

static uint64_t checked_free(void *p) {
    const unsigned char *bytes = p;
    const struct item *it = p;
    uint64_t sum = 0;
    for (uint32_t i = 64; i < it->size; i += 4096) {
        if (bytes[i] != (unsigned char)it->tag) {
            fail("a large block does not hold what was written into it");
        }
        sum += bytes[i];
    }
    return sum + item_free(p);
}

int main(int argc, char **argv) {
    uint32_t operations = argument(argc, argv, 1, 200);
    uint32_t live = argument(argc, argv, 2, 10);
    uint32_t least = argument(argc, argv, 3, 5) * 1000000;
    uint32_t most = argument(argc, argv, 4, 25) * 1000000;
    void **slots = must(calloc(live, sizeof *slots));
    struct rng r = rng_seed(5);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < operations; i++) {
        uint32_t k = rng_below(&r, live);
        if (slots[k] != NULL) {
            sum += checked_free(slots[k]);
        }
        slots[k] = filled(rng_between(&r, least, most), (uint32_t)rng_next(&r));
    }
    for (uint32_t k = 0; k < live; k++) {
        if (slots[k] != NULL) {
            sum += checked_free(slots[k]);
        }
    }
    free(slots);
    return report(sum);
}
