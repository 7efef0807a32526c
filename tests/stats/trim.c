// lucid_trim beside threads that hold free blocks in their bins.
//   asked   each of them gives all of them back at its next free
//   idle    one that makes no call keeps its blocks (there is no helper), and nothing breaks
//   orphan  what a thread left that ended without its exit hook goes at once
//   busy    threads work on while they are asked again and again
#include "testing.h"

#include <limits.h>
#include <lucid.h>
#include <pthread.h>

#define THREADS 4u
#define BLOCKS 200u
#define STEPS (LUCID_SLOWED ? 20000u : 300000u)

static pthread_barrier_t barrier;
static _Atomic unsigned working;
static bool call_again;

static struct lucid_stats get(void) {
    struct lucid_stats stats = {.size = sizeof(stats)};
    REQUIRE(lucid_stats_get(&stats) == 0, "the numbers can be had");
    return stats;
}

static void fill_bins(void) {
    void *blocks[BLOCKS];
    for (size_t size = 16; size <= 4096; size *= 2) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            blocks[i] = lucid_malloc(size);
            REQUIRE(blocks[i] != NULL, "%zu bytes can be had", size);
        }
        for (unsigned i = 0; i < BLOCKS; i++) {
            lucid_free(blocks[i]);
        }
    }
}

static void *hold(void *argument) {
    void *last = lucid_malloc(100);
    fill_bins();
    (void)pthread_barrier_wait(&barrier); // all hold free blocks
    (void)pthread_barrier_wait(&barrier); // and were asked for them
    if (call_again) {
        // The bin has room and the block is one of many: nothing but the request stops this free.
        void *one = lucid_malloc(64);
        lucid_free(one);
    }
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_barrier_wait(&barrier); // until somebody has looked
    fill_bins();
    lucid_free(last);
    return argument;
}

static void start(pthread_t *threads, void *(*work)(void *)) {
    (void)pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (unsigned i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, work, NULL) == 0, "thread %u", i);
    }
}

static void join(const pthread_t *threads) {
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

static void require_nothing(void) {
    (void)lucid_trim();
    struct lucid_stats stats = get();
    REQUIRE(stats.cached_bytes == 0, "nobody holds anything");
    REQUIRE(stats.live_blocks == 0, "nothing is in use");
    REQUIRE(stats.dirty_bytes == 0, "all of the pool went");
}

static void run_holders(bool again) {
    pthread_t threads[THREADS];
    call_again = again;
    start(threads, hold);
    (void)pthread_barrier_wait(&barrier);
    uint64_t before = get().cached_bytes;
    REQUIRE(before > THREADS * (LUCID_STRESS ? (size_t)100 : (size_t)32 << 10),
            "the threads hold %llu bytes", (unsigned long long)before);
    (void)lucid_trim();
    uint64_t asked = get().cached_bytes;
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_barrier_wait(&barrier);
    uint64_t after = get().cached_bytes;
    if (again) {
        // One block each, the one that was freed just now.
        REQUIRE(after <= THREADS * 64, "%llu of %llu bytes stayed", (unsigned long long)after,
                (unsigned long long)before);
    } else {
        REQUIRE(asked == before && after == before, "idle threads keep their %llu bytes, not %llu",
                (unsigned long long)before, (unsigned long long)after);
    }
    (void)pthread_barrier_wait(&barrier);
    join(threads);
    require_nothing();
}

// Allocates for the first time in the last round of its destructors, so that its own exit hook is
// not called any more.
static pthread_key_t key;

static void destroy(void *argument) {
    uintptr_t round = (uintptr_t)argument;
    if (round < PTHREAD_DESTRUCTOR_ITERATIONS) {
        (void)pthread_setspecific(key, (void *)(round + 1));
    } else {
        fill_bins();
    }
}

static void *end_late(void *argument) {
    (void)pthread_setspecific(key, (void *)1);
    return argument;
}

static void run_orphan(void) {
    pthread_t threads[THREADS];
    lucid_free(lucid_malloc(1));
    (void)pthread_key_create(&key, destroy);
    start(threads, end_late);
    join(threads);
    uint64_t before = get().cached_bytes;
    uint64_t threads_before = get().threads;
    REQUIRE(before > 0 && threads_before > 1, "what dead threads held is there: %llu bytes",
            (unsigned long long)before);
    // The kernel takes a moment to forget a thread that was joined.
    for (unsigned i = 0; i < 1000 && get().threads != 1; i++) {
        (void)lucid_trim();
        (void)usleep(1000);
    }
    REQUIRE(get().threads == 1, "%llu threads have heaps", (unsigned long long)get().threads);
    REQUIRE(get().cached_bytes == 0, "%llu bytes stayed", (unsigned long long)get().cached_bytes);
}

static void *keep_busy(void *argument) {
    void *blocks[64] = {NULL};
    size_t sizes[64];
    uint64_t random = test_seed() + (uintptr_t)&random;
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned k = test_random(&random) % 64;
        if (blocks[k] != NULL) {
            REQUIRE(test_filled(blocks[k], blocks[k], sizes[k], sizes[k]), "block %p is as it was",
                    blocks[k]);
            lucid_free(blocks[k]);
        }
        sizes[k] = 1 + test_random(&random) % 600;
        blocks[k] = lucid_malloc(sizes[k]);
        test_fill(blocks[k], sizes[k]);
    }
    for (unsigned k = 0; k < 64; k++) {
        lucid_free(blocks[k]);
    }
    working--;
    return argument;
}

static void run_busy(void) {
    pthread_t threads[THREADS];
    working = THREADS;
    start(threads, keep_busy);
    unsigned asked = 0;
    while (working > 0) {
        (void)lucid_trim();
        asked++;
        (void)usleep(200);
    }
    join(threads);
    REQUIRE(asked > 0 && get().live_blocks == 0, "nothing is in use");
    (void)lucid_trim();
    REQUIRE(get().cached_bytes == 0, "nobody holds anything");
}

int main(int argc, char **argv) {
    REQUIRE(argc == 2, "a mode is given");
    if (strcmp(argv[1], "orphan") == 0) {
        run_orphan();
    } else if (strcmp(argv[1], "busy") == 0) {
        run_busy();
    } else {
        run_holders(strcmp(argv[1], "asked") == 0);
    }
    return 0;
}
