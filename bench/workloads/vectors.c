// Vectors that grow by realloc: some double, some grow by half, some by a page, several at once,
// so that a neighbour may lie in the way. Short ones are common, long ones reach megabytes.
// Arguments: ROUNDS VECTORS LONGEST (elements of 8 bytes)
#include "common.h"

struct vector {
    uint64_t *data;
    size_t used;
    size_t room;
    size_t goal;
    uint32_t habit; // how it grows
};

static size_t next_room(const struct vector *v) {
    switch (v->habit) {
    case 0:
        return v->room == 0 ? 4 : 2 * v->room;
    case 1:
        return v->room == 0 ? 4 : v->room + v->room / 2;
    default:
        return v->room + 512;
    }
}

static void push(struct vector *v, uint64_t value) {
    if (v->used == v->room) {
        v->room = next_room(v);
        v->data = must(realloc(v->data, v->room * sizeof *v->data));
    }
    v->data[v->used++] = value;
}

static uint64_t finish(struct vector *v) {
    uint64_t sum = 0;
    for (size_t i = 0; i < v->used; i++) {
        sum += v->data[i];
    }
    if (v->used != 0 && v->data[v->used - 1] != v->used - 1) {
        fail("realloc lost the contents of a vector");
    }
    free(v->data);
    return sum;
}

static void begin(struct vector *v, struct rng *r, uint32_t longest) {
    uint32_t habit = rng_below(r, 5);
    // A vector that grows by a page is kept shorter: its growth is quadratic where it is copied.
    uint32_t bound = habit >= 2 && longest > 65536 ? 65536 : longest;
    *v = (struct vector){NULL, 0, 0, rng_pareto(r, 64, bound), habit};
}

int main(int argc, char **argv) {
    uint32_t rounds = argument(argc, argv, 1, 2000);
    uint32_t vectors = argument(argc, argv, 2, 64);
    uint32_t longest = argument(argc, argv, 3, 1000000);
    struct vector *all = must(calloc(vectors, sizeof *all));
    struct rng r = rng_seed(11);
    uint64_t sum = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        struct vector *v = &all[rng_below(&r, vectors)];
        sum += finish(v);
        begin(v, &r, longest);
        // Two of them grow in turns, so that neither can always stay at the end of the heap.
        struct vector *w = &all[rng_below(&r, vectors)];
        while (v->used < v->goal) {
            push(v, v->used);
            if ((v->used & 15) == 0 && w->used < w->goal + v->goal / 16) {
                push(w, w->used);
            }
        }
    }
    for (uint32_t i = 0; i < vectors; i++) {
        sum += finish(&all[i]);
    }
    free(all);
    return report(sum);
}
