// Random replacement of buffers of 4 to 256 KiB, each doubling as likely as any other, that are
// filled in part, as by what is read into them.
// Arguments: THREADS OPERATIONS SLOTS (per thread)
#include "replace.h"

static void *buffer(struct rng *r, uint32_t tag) {
    uint32_t size = rng_doubling(r, 12, 18);
    char *bytes = item_new(size, tag);
    uint32_t filled = rng_between(r, 64, size / 2);
    memset(bytes + filled / 2, (int)tag, filled / 2);
    return bytes;
}

int main(int argc, char **argv) {
    return replace_run(argc, argv, buffer);
}
