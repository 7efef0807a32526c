// Threads that share the program's own heaps: they allocate, fill, verify, resize and free in all
// of them, leave blocks to each other, and make heaps of their own. After each generation some
// heaps give everything back at once, and every invariant is verified.
//   regions [THREADS [GENERATIONS [STEPS]]]
#include "crew.h"
#include "invariants.h"

#include <lucid.h>
#include <malloc.h>
#include <stdatomic.h>

#define HEAPS 5u
#define SHELF 512u // blocks of a heap that threads leave to each other

struct parcel {
    void *block;
    size_t size;
};

// A place on the shelf has a lock of its own, so that a block is with one thread at a time.
struct place {
    atomic_flag taken;
    struct parcel parcel;
};

static lucid_heap *heaps[HEAPS];
static struct place shelf[HEAPS][SHELF];

static void verify(const struct parcel *parcel) {
    REQUIRE(test_filled(parcel->block, parcel->block, parcel->size, parcel->size),
            "contents of %p, %zu bytes", parcel->block, parcel->size);
}

static void fill(struct parcel *parcel, lucid_heap *heap, uint64_t *state) {
    size_t size = test_size(state);
    uint32_t roll = test_random(state) % 8;
    parcel->block = roll == 0   ? lucid_heap_calloc(heap, 1, size)
                    : roll == 1 ? lucid_heap_aligned_alloc(heap, 256, size)
                                : lucid_heap_alloc(heap, size);
    parcel->size = size;
    REQUIRE(parcel->block != NULL, "no %zu bytes", size);
    REQUIRE(roll != 0 || test_zero(parcel->block, size), "calloc of %zu is zero", size);
    test_fill(parcel->block, size);
}

static void drop(struct parcel *parcel, lucid_heap *heap, uint64_t *state) {
    verify(parcel);
    if (test_random(state) % 2 == 0) {
        lucid_heap_free(heap, parcel->block);
    } else {
        lucid_free(parcel->block);
    }
    parcel->block = NULL;
}

static void resize(struct parcel *parcel, lucid_heap *heap, uint64_t *state) {
    size_t size = test_size_after(parcel->size, state);
    size_t kept = size < parcel->size ? size : parcel->size;
    void *before = parcel->block;
    void *block = test_random(state) % 2 == 0 ? lucid_heap_realloc(heap, before, size)
                                              : lucid_realloc(before, size);
    REQUIRE(block != NULL && test_filled(block, before, kept, parcel->size),
            "realloc of %zu to %zu bytes", parcel->size, size);
    *parcel = (struct parcel){.block = block, .size = size};
    test_fill(block, size);
}

static void use_place(unsigned index, uint64_t *state) {
    struct place *place = &shelf[index][test_random(state) % SHELF];
    if (atomic_flag_test_and_set(&place->taken)) {
        return; // another thread is at it
    }
    if (place->parcel.block == NULL) {
        fill(&place->parcel, heaps[index], state);
    } else if (test_random(state) % 3 == 0) {
        resize(&place->parcel, heaps[index], state);
    } else {
        drop(&place->parcel, heaps[index], state);
    }
    atomic_flag_clear(&place->taken);
}

// A request: a heap that nobody else knows, whose blocks are forgotten.
static void serve_request(uint64_t *state) {
    lucid_heap *heap = lucid_heap_new("request");
    REQUIRE(heap != NULL, "a heap");
    for (unsigned round = 0; round < 2; round++) {
        struct parcel parcels[40];
        for (unsigned i = 0; i < 40; i++) {
            fill(&parcels[i], heap, state);
        }
        for (unsigned i = 0; i < 40; i++) {
            verify(&parcels[i]);
        }
        lucid_heap_free_all(heap);
    }
    lucid_heap_destroy(heap);
}

static void *work(void *argument) {
    struct hand *hand = argument;
    for (unsigned step = 0; step < hand->steps; step++) {
        if (test_random(&hand->state) % 256 == 0) {
            serve_request(&hand->state);
        }
        use_place(test_random(&hand->state) % HEAPS, &hand->state);
    }
    return NULL;
}

static void forget_all(unsigned index) {
    lucid_heap_free_all(heaps[index]);
    for (unsigned i = 0; i < SHELF; i++) {
        shelf[index][i].parcel.block = NULL;
    }
}

int main(int count, char **values) {
    unsigned threads = crew_argument(count, values, 1, 4);
    unsigned generations = crew_argument(count, values, 2, 6);
    unsigned steps = crew_argument(count, values, 3, 10000);
    REQUIRE(lucid_mallopt(M_MMAP_THRESHOLD, 300000) == 1, "the threshold can be set");
    for (unsigned i = 0; i < HEAPS; i++) {
        heaps[i] = lucid_heap_new("shared");
        REQUIRE(heaps[i] != NULL, "a heap");
    }
    uint64_t state = test_seed();
    struct hand *workers = calloc(threads, sizeof(*workers));
    REQUIRE(workers != NULL, "no memory for %u workers", threads);
    for (unsigned round = 0; round < generations; round++) {
        crew_work(workers, sizeof(*workers), threads, work, &state, steps);
        invariants_check(false);
        forget_all(round % HEAPS);
        invariants_check(false);
    }
    for (unsigned i = 0; i < HEAPS; i++) {
        lucid_heap_destroy(heaps[i]);
    }
    (void)lucid_malloc_trim(0);
    invariants_check(false);
    crew_require_nothing_used();
    free(workers);
    printf("%u threads, %u generations, %u steps each: contents and invariants hold\n", threads,
           generations, steps);
    return 0;
}
