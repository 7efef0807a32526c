// Threads that allocate, fill, verify, resize, hand over, free and die, in generations; after each
// generation every invariant of the heap is verified.
//   stress [THREADS [GENERATIONS [STEPS [INJECT]]]]
// INJECT = 1: calls to the operating system fail now and then (checked and stress builds).
#include "crew.h"
#include "invariants.h"
#include "os/os.h"

#include <errno.h>
#include <lucid.h>
#include <malloc.h>
#include <stdatomic.h>

#define MAILBOXES 256u // where threads leave blocks for each other
#define OWN 192u       // blocks a thread keeps

struct parcel {
    void *block;
    size_t size; // as filled
};

static _Atomic(struct parcel *) mailboxes[MAILBOXES];
static bool injecting;
static _Atomic uint64_t refused;

struct worker {
    struct hand hand;
    struct parcel own[OWN];
};

static void require_filled(const struct parcel *parcel) {
    REQUIRE(test_filled(parcel->block, parcel->block, parcel->size, parcel->size),
            "contents of %p, %zu bytes", parcel->block, parcel->size);
}

static void require_new(const void *block, size_t size, size_t alignment) {
    if (block == NULL) {
        REQUIRE(injecting && errno == ENOMEM, "no %zu bytes, errno %d", size, errno);
        refused++;
        return;
    }
    REQUIRE((uintptr_t)block % alignment == 0, "%p aligned to %zu", block, alignment);
    REQUIRE(lucid_malloc_usable_size((void *)block) >= size, "%p of %zu", block, size);
}

static void *allocate(uint64_t *state, size_t size) {
    void *block = NULL;
    size_t alignment = 16;
    errno = 0;
    switch (test_random(state) % 8) {
    case 0:
        block = lucid_calloc(1, size);
        REQUIRE(block == NULL || test_zero(block, size), "calloc of %zu is zero", size);
        break;
    case 1:
        alignment = (size_t)16 << test_random(state) % 12;
        block = lucid_aligned_alloc(alignment, size);
        break;
    default:
        block = lucid_malloc(size);
        break;
    }
    require_new(block, size, alignment);
    return block;
}

static void empty(struct parcel *parcel) {
    if (parcel->block != NULL) {
        require_filled(parcel);
        errno = 1789;
        lucid_free(parcel->block);
        REQUIRE(errno == 1789, "free changed errno to %d", errno);
        parcel->block = NULL;
    }
}

static void refill(struct parcel *parcel, uint64_t *state) {
    empty(parcel);
    parcel->size = test_size(state);
    parcel->block = allocate(state, parcel->size);
    if (parcel->block != NULL) {
        test_fill(parcel->block, parcel->size);
    }
}

static void resize(struct parcel *parcel, uint64_t *state) {
    if (parcel->block == NULL) {
        return;
    }
    size_t size = test_size_after(parcel->size, state);
    void *before = parcel->block;
    size_t kept = size < parcel->size ? size : parcel->size;
    errno = 0;
    void *block = lucid_realloc(before, size);
    require_new(block, size, 16);
    if (block == NULL) {
        require_filled(parcel);
        return;
    }
    REQUIRE(test_filled(block, before, kept, parcel->size), "realloc of %zu to %zu bytes kept them",
            parcel->size, size);
    *parcel = (struct parcel){.block = block, .size = size};
    test_fill(block, size);
}

// Leaves a block in a mailbox and takes out what was there, whoever left it.
static void swap_with_others(struct parcel *parcel, uint64_t *state) {
    if (parcel->block == NULL) {
        return;
    }
    struct parcel *letter = lucid_malloc(sizeof(*letter));
    if (letter == NULL) {
        return;
    }
    *letter = *parcel;
    letter = atomic_exchange(&mailboxes[test_random(state) % MAILBOXES], letter);
    *parcel = letter != NULL ? *letter : (struct parcel){.block = NULL};
    lucid_free(letter);
}

// A few calls of a random kind fail at a random time from now.
static void inject(uint64_t *state) {
    for (int call = 0; call < OS_CALL_COUNT; call++) {
        bool strike = test_random(state) % 3 == 0;
        (void)os_inject((enum os_call)call, strike ? 1 + test_random(state) % 4 : 0,
                        test_random(state) % 2 == 0);
    }
}

// Counts the heap and gives memory back while the others work on it.
static void look_around(uint64_t *state) {
    struct mallinfo2 info = lucid_mallinfo2();
    REQUIRE(info.uordblks <= info.arena, "%zu of %zu bytes in use", info.uordblks, info.arena);
    if (test_random(state) % 4 == 0) {
        (void)lucid_malloc_trim(0);
    }
    if (injecting) {
        inject(state);
    }
}

static void *work(void *argument) {
    struct worker *worker = argument;
    uint64_t *state = &worker->hand.state;
    for (unsigned step = 0; step < worker->hand.steps; step++) {
        struct parcel *parcel = &worker->own[test_random(state) % OWN];
        uint32_t roll = test_random(state) % 100;
        if (step % 1024 == 0) {
            look_around(state);
        }
        if (roll < 55) {
            refill(parcel, state);
        } else if (roll < 70) {
            resize(parcel, state);
        } else if (roll < 90) {
            swap_with_others(parcel, state);
        } else {
            empty(parcel);
        }
    }
    // Half of the threads leave their blocks for a later generation to free.
    if (test_random(state) % 2 == 0) {
        for (unsigned i = 0; i < OWN; i++) {
            empty(&worker->own[i]);
        }
    }
    return NULL;
}

static void inject_nothing(void) {
    for (int call = 0; call < OS_CALL_COUNT; call++) {
        (void)os_inject((enum os_call)call, 0, false);
    }
}

static void clear_mailboxes(void) {
    for (unsigned i = 0; i < MAILBOXES; i++) {
        struct parcel *letter = atomic_exchange(&mailboxes[i], NULL);
        if (letter != NULL) {
            empty(letter);
            lucid_free(letter);
        }
    }
}

int main(int count, char **values) {
    unsigned threads = crew_argument(count, values, 1, 4);
    unsigned generations = crew_argument(count, values, 2, 6);
    unsigned steps = crew_argument(count, values, 3, 40000);
    injecting = crew_argument(count, values, 4, 0) != 0;
    if (injecting && !LUCID_CHECKED && !LUCID_STRESS) {
        printf("this build cannot make calls fail: it needs LUCID_CHECKED or LUCID_STRESS\n");
        return SKIPPED;
    }
    // Low enough that the largest of the blocks are mappings.
    REQUIRE(lucid_mallopt(M_MMAP_THRESHOLD, 300000) == 1, "the threshold can be set");
    uint64_t state = test_seed();
    struct worker *workers = calloc(threads, sizeof(*workers));
    REQUIRE(workers != NULL, "no memory for %u workers", threads);
    for (unsigned round = 0; round < generations; round++) {
        crew_work(workers, sizeof(*workers), threads, work, &state, steps);
        inject_nothing();
        invariants_check(false);
    }
    for (unsigned i = 0; i < threads; i++) {
        for (unsigned j = 0; j < OWN; j++) {
            empty(&workers[i].own[j]);
        }
    }
    clear_mailboxes();
    (void)lucid_malloc_trim(0);
    invariants_check(false);
    crew_require_nothing_used();
    free(workers);
    printf("%u threads, %u generations, %u steps each: contents and invariants hold; "
           "%llu requests refused\n",
           threads, generations, steps, (unsigned long long)refused);
    return 0;
}
