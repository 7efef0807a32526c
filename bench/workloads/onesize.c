// Bursts of one size: 25 to 1600 blocks are allocated, half of them freed oldest first and half
// newest first, again and again. The burst outgrows every small per-thread stock.
// Arguments: ROUNDS (each does about 2000 pairs at each of the sizes 24, 48 and 96)
#include "common.h"

static const uint32_t burst[] = {25, 100, 400, 1600};

static uint64_t play(void **all, uint32_t n, uint32_t size, uint32_t tag) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        all[i] = item_new(size, tag + i);
    }
    for (uint32_t i = 0; i < n / 2; i++) {
        sum += item_free(all[i]);
    }
    for (uint32_t i = n; i-- > n / 2;) {
        sum += item_free(all[i]);
    }
    return sum;
}

int main(int argc, char **argv) {
    static void *all[1600];
    uint32_t rounds = argument(argc, argv, 1, 500);
    uint64_t sum = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        for (size_t k = 0; k < sizeof burst / sizeof burst[0]; k++) {
            for (uint32_t size = 24; size <= 96; size *= 2) {
                sum += play(all, burst[k], size, round);
            }
        }
    }
    return report(sum);
}
