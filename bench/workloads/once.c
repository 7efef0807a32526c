// A program that allocates once: what the allocator's start costs in faults, calls and memory.
// With the argument "memory" it tells its resident memory as one line
//     # resident BYTES
// which costs calls and pages of its own, so that the other figures come from runs without it.
#include "memory.h"

int main(int argc, char **argv) {
    bool tell = argc > 1 && strcmp(argv[1], "memory") == 0;
    uint64_t sum = item_free(item_new(100, 1));
    if (tell) {
        printf("# resident %" PRIu64 "\n", memory_resident());
    }
    return report(sum);
}
