// A long life with changes of phase: the sizes a program uses change, most of the old blocks go,
// and what remains should not hold the memory of what is gone. After each phase one line
//     # phase N live BYTES resident BYTES
// tells live bytes and resident memory beyond what the process had at its start.
// Arguments: CYCLES BLOCKS (of 64 bytes on average; other phases use as many bytes) REST (1/1000 s)
#include <time.h>

#include "memory.h"

struct stock {
    void **block;
    uint32_t used;
    uint32_t room;
    uint64_t live;
};

static uint64_t at_start;
static struct timespec rest;

static void add(struct stock *s, uint32_t size, uint32_t tag) {
    s->block[s->used++] = item_new(size, tag);
    s->live += size;
}

static uint64_t drop(struct stock *s, uint32_t k) {
    void *p = s->block[k];
    s->live -= ((struct item *)p)->size;
    s->block[k] = s->block[--s->used];
    return item_free(p);
}

// Fills with blocks of this kind until so many bytes are live; all pages are written.
static void grow(struct stock *s, struct rng *r, uint32_t kind, uint64_t goal) {
    while (s->live < goal && s->used < s->room) {
        uint32_t size = kind == 0   ? rng_between(r, 16, 112)
                        : kind == 1 ? rng_between(r, 200, 2000)
                        : kind == 2 ? rng_between(r, 2000, 60000)
                                    : rng_between(r, 200000, 2000000);
        add(s, size, s->used);
        memset((char *)s->block[s->used - 1] + sizeof(struct item), 1, size - sizeof(struct item));
        item_mark(s->block[s->used - 1], size, s->used);
    }
}

// The oldest blocks go first, but one in fifty stays, until about so many bytes are live.
static uint64_t shrink(struct stock *s, struct rng *r, uint64_t goal) {
    uint64_t sum = 0;
    uint32_t kept = 0;
    for (uint32_t k = 0; k < s->used; k++) {
        void *p = s->block[k];
        uint32_t size = ((struct item *)p)->size;
        if (s->live < goal + size || (goal > 0 && rng_below(r, 50) == 0)) {
            s->block[kept++] = p;
            continue;
        }
        s->live -= size;
        sum += item_free(p);
    }
    s->used = kept;
    return sum;
}

// Ordinary work at the same size, so that a policy that acts on calls has its chance.
static uint64_t churn(struct stock *s, struct rng *r, uint32_t times) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < times && s->used > 0; i++) {
        uint32_t k = rng_below(r, s->used);
        uint32_t size = ((struct item *)s->block[k])->size;
        sum += drop(s, k);
        add(s, size, i);
    }
    return sum;
}

static void say(uint32_t phase, const struct stock *s) {
    uint64_t now = memory_resident();
    uint64_t resident = now > at_start ? now - at_start : 0;
    printf("# phase %" PRIu32 " live %" PRIu64 " resident %" PRIu64 "\n", phase, s->live, resident);
}

int main(int argc, char **argv) {
    uint32_t cycles = argument(argc, argv, 1, 2);
    uint32_t blocks = argument(argc, argv, 2, 200000);
    uint32_t ms = argument(argc, argv, 3, 1);
    rest = (struct timespec){ms / 1000, (long)(ms % 1000) * 1000000};
    struct stock s = {NULL, 0, 2 * blocks, 0};
    s.block = must(malloc(s.room * sizeof *s.block));
    memset(s.block, 0, s.room * sizeof *s.block);
    struct rng r = rng_seed(17);
    uint64_t sum = 0;
    at_start = memory_resident();
    for (uint32_t phase = 0; phase < 4 * cycles; phase++) {
        grow(&s, &r, phase % 4, (uint64_t)blocks * 64);
        say(2 * phase, &s);
        sum += shrink(&s, &r, (uint64_t)blocks * 8);
        sum += churn(&s, &r, blocks / 16);
        nanosleep(&rest, NULL);
        sum += churn(&s, &r, blocks / 16);
        say(2 * phase + 1, &s);
    }
    sum += shrink(&s, &r, 0);
    free(s.block);
    return report(sum);
}
