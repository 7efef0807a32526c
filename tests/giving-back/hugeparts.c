// Fills memory of each kind, says where it lies, and waits for the end of the standard input.
//
// usage: hugeparts MIB
// MIB: so much of small blocks, so that the arena has that size before the larger ones come.
#include "layout.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL ((size_t)512)

static void *filled(void *block, size_t size) {
    if (block == NULL || block == MAP_FAILED) {
        fputs("hugeparts: no memory\n", stderr);
        exit(2);
    }
    return memset(block, 1, size);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fputs("usage: hugeparts MIB\n", stderr);
        return 64;
    }
    const struct lucid_root *root = dlsym(RTLD_DEFAULT, "lucid_root");
    if (root == NULL) {
        fputs("hugeparts: does not run on lucid\n", stderr);
        return 2;
    }
    void *first = filled(malloc(SMALL), SMALL);
    void *last = first;
    for (size_t done = 0; done < (size_t)atol(argv[1]) << 20; done += SMALL) {
        last = filled(malloc(SMALL), SMALL);
    }
    size_t large = (size_t)10 << 20;
    size_t mapped = (size_t)64 << 20;
    void *block = filled(malloc(large), large);
    void *mapping = filled(malloc(mapped), mapped);
    void *own = filled(
        mmap(NULL, large, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), large);
    printf("first %#zx last %#zx large %#zx mapping %#zx middle %#zx end %#zx own %#zx units %#zx"
           " meta %#zx\n",
           (size_t)first, (size_t)last, (size_t)block + large / 2, (size_t)mapping,
           (size_t)mapping + mapped / 2, (size_t)mapping + mapped - 1, (size_t)own,
           (size_t)root->fixed.units, (size_t)root->live.meta_next);
    printf("unit one %#zx\n", (size_t)root->fixed.base + UNIT_SIZE);
    fflush(stdout);
    char byte;
    return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 2;
}
