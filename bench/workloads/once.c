// A program that allocates once: what the allocator's start costs in faults, calls and memory.
#include "common.h"

int main(void) {
    return report(item_free(item_new(100, 1)));
}
