// Threads that work for a moment and sleep for a moment, so that the helper is always about to take
// the bins of one that wakes up. Blocks go from thread to thread; every block's contents are its
// own address and size, and are looked at when it is freed. Ends with 0 if all were right.
//
// usage: sleepers THREADS SECONDS SLEEP_MS
#include "programs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHELF 4096
#define OWN 3000
#define LARGE ((size_t)12 << 20)

static _Atomic(uint64_t *) shelf[SHELF]; // blocks that any thread may free
static atomic_bool over;
static unsigned sleep_ms;

struct worker {
    pthread_t thread;
    uint64_t seed;
    uint64_t rounds;
};

static uint64_t *take(uint64_t *seed) {
    size_t words = 3 + next(seed) % (next(seed) % 8 == 0 ? 500 : 20);
    uint64_t *block = malloc(words * sizeof(uint64_t));
    if (block == NULL) {
        fputs("sleepers: no memory\n", stderr);
        exit(2);
    }
    block[0] = words;
    for (size_t i = 1; i < words; i++) {
        block[i] = (uint64_t)(uintptr_t)block + i;
    }
    return block;
}

static void give(uint64_t *block) {
    for (size_t i = 1; block != NULL && i < block[0]; i++) {
        if (block[i] != (uint64_t)(uintptr_t)block + i) {
            fprintf(stderr, "sleepers: block %p is damaged\n", (void *)block);
            _exit(1);
        }
    }
    free(block);
}

static void nap_up_to(unsigned most_ms, uint64_t *seed) {
    nap_ns(next(seed) % ((uint64_t)most_ms * 1000000 + 1));
}

static void *work(void *argument) {
    struct worker *worker = argument;
    uint64_t *own[OWN] = {0};
    while (!atomic_load(&over)) {
        for (uint64_t steps = next(&worker->seed) % 20000; steps > 0; steps--) {
            size_t place = next(&worker->seed);
            if (place % 5 == 0) { // hand one on, free another's
                give(atomic_exchange(&shelf[place / 5 % SHELF], take(&worker->seed)));
            } else {
                give(own[place % OWN]);
                own[place % OWN] = place % 3 != 0 ? take(&worker->seed) : NULL;
            }
        }
        worker->rounds++;
        nap_up_to(sleep_ms, &worker->seed);
    }
    for (size_t i = 0; i < OWN; i++) {
        give(own[i]);
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fputs("usage: sleepers THREADS SECONDS SLEEP_MS\n", stderr);
        return 64;
    }
    int threads = atoi(argv[1]);
    sleep_ms = (unsigned)atoi(argv[3]);
    struct worker *workers = calloc((size_t)threads, sizeof(*workers));
    const char *seed = getenv("LUCID_SEED");
    for (int i = 0; i < threads; i++) {
        workers[i].seed = (uint64_t)i + 1 + (seed != NULL ? strtoull(seed, NULL, 0) : 0);
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            perror("sleepers: pthread_create");
            return 2;
        }
    }
    // Memory that comes and goes keeps the helper at work.
    time_t end = time(NULL) + atoi(argv[2]);
    uint64_t main_seed = 1;
    while (time(NULL) < end) {
        void *volatile large = malloc(LARGE);
        memset(large, 1, LARGE);
        free(large);
        nap_up_to(60, &main_seed);
    }
    atomic_store(&over, true);
    uint64_t rounds = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        rounds += workers[i].rounds;
    }
    for (size_t i = 0; i < SHELF; i++) {
        give(shelf[i]);
    }
    free(workers);
    printf("%llu rounds\n", (unsigned long long)rounds);
    return 0;
}
