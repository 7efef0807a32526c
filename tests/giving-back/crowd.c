// Threads that wake up together, allocate and free a little each, and sleep again: each of them is
// too small to be worth much, all together are not. Prints MiB resident before,
// and after each sleep.
//
// usage: crowd THREADS KIB_EACH LARGEST ROUNDS PAUSE_MS [new]
// new: each round has threads of its own. They end at once, and nobody is there for a while; but
// those of the last round sleep.
#include "programs.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MOST 256u

static size_t bytes_each;
static size_t largest;
static unsigned rounds;
static pthread_barrier_t together;

static void fail(const char *what) {
    (void)fprintf(stderr, "crowd: %s\n", what);
    exit(2);
}

static void allocate(void **blocks, size_t count, uint64_t *seed) {
    for (size_t i = 0; i < count; i++) {
        size_t size = 16 + next(seed) % (largest - 15);
        blocks[i] = malloc(size);
        if (blocks[i] == NULL) {
            fail("no memory");
        }
        memset(blocks[i], 1, size);
    }
}

// In random order, so that what stays in a bin keeps pages of its own.
static void free_shuffled(void **blocks, size_t count, uint64_t *seed) {
    for (size_t left = count; left > 0; left--) {
        size_t i = next(seed) % left;
        free(blocks[i]);
        blocks[i] = blocks[left - 1];
    }
}

static void burst(uint64_t *seed) {
    size_t count = bytes_each / (largest / 2);
    void **blocks = malloc((count + 1) * sizeof(*blocks));
    if (blocks == NULL) {
        fail("no memory");
    }
    allocate(blocks, count, seed);
    free_shuffled(blocks, count, seed);
    free(blocks);
}

static void *work(void *seed) {
    for (unsigned round = 0; round < rounds; round++) {
        (void)pthread_barrier_wait(&together); // it begins
        burst(seed);
        (void)pthread_barrier_wait(&together); // all sleep from here on
    }
    (void)pthread_barrier_wait(&together);
    return NULL;
}

static void start(pthread_t *threads, uint64_t *seeds, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        seeds[i] = i + 1;
        if (pthread_create(&threads[i], NULL, work, &seeds[i]) != 0) {
            fail("no thread");
        }
    }
}

static void let_them_work(void) {
    (void)pthread_barrier_wait(&together);
    (void)pthread_barrier_wait(&together);
}

static void end(const pthread_t *threads, unsigned count) {
    (void)pthread_barrier_wait(&together);
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

int main(int argc, char **argv) {
    static pthread_t threads[THREADS_MOST];
    static uint64_t seeds[THREADS_MOST];
    unsigned count = argc > 5 ? (unsigned)atoi(argv[1]) : 0;
    if (count == 0 || count > THREADS_MOST) {
        (void)fputs("usage: crowd THREADS KIB_EACH LARGEST ROUNDS PAUSE_MS [new]\n", stderr);
        return 64;
    }
    bytes_each = (size_t)atol(argv[2]) << 10;
    largest = (size_t)atol(argv[3]);
    unsigned generations = argc > 6 ? (unsigned)atoi(argv[4]) : 1;
    unsigned pause_ms = (unsigned)atoi(argv[5]);
    rounds = argc > 6 ? 1 : (unsigned)atoi(argv[4]);
    (void)pthread_barrier_init(&together, NULL, count + 1);
    printf("before %.2f ", resident_mib());
    for (unsigned i = 1; i <= generations; i++) {
        start(threads, seeds, count);
        for (unsigned round = 0; round < rounds; round++) {
            let_them_work();
            if (i == generations) {
                nap(pause_ms);
                printf("after %.2f ", resident_mib());
            }
        }
        end(threads, count);
        nap(i < generations ? pause_ms : 0);
    }
    printf("MiB\n");
    return 0;
}
