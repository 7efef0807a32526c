// A thread that only allocates, one that only frees, and a crowd that goes idle: memory must
// neither pile up with the one that frees nor stay with those that sleep. Threads that begin with a
// free must not come to share cache lines by it.
#include "testing.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define BATCH 512u
#define BATCHES 4000u
#define CROWD 64u

static void *batch[BATCH];
static sem_t full;
static sem_t empty;

static void *only_frees(void *argument) {
    for (unsigned round = 0; round < BATCHES; round++) {
        (void)sem_wait(&full);
        for (unsigned i = 0; i < BATCH; i++) {
            free(batch[i]);
        }
        (void)sem_post(&empty);
    }
    return argument;
}

// 4000 batches of about 700 KB pass through; what is alive at once is one batch.
static void produce_and_consume(void) {
    REQUIRE(sem_init(&full, 0, 0) == 0 && sem_init(&empty, 0, 1) == 0, "semaphores");
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, only_frees, NULL) == 0, "a thread");
    size_t before = 0;
    for (unsigned round = 0; round < BATCHES; round++) {
        (void)sem_wait(&empty);
        for (unsigned i = 0; i < BATCH; i++) {
            batch[i] = malloc(16 + i * 5);
            REQUIRE(batch[i] != NULL, "no memory");
            memset(batch[i], 1, 16 + i * 5);
        }
        (void)sem_post(&full);
        if (round == BATCHES / 10) {
            before = test_resident();
        }
    }
    (void)pthread_join(thread, NULL);
    size_t after = test_resident();
    printf("%u batches from one thread to another: resident %zu KiB, then %zu KiB\n", BATCHES,
           before >> 10, after >> 10);
    REQUIRE(after < before + (2 << 20), "memory piles up: %zu, then %zu", before, after);
}

static sem_t done;
static sem_t leave;

static void *busy_once(void *argument) {
    for (unsigned round = 0; round < 20; round++) {
        void *blocks[200];
        for (unsigned i = 0; i < 200; i++) {
            blocks[i] = malloc(64 + i * 9);
            REQUIRE(blocks[i] != NULL, "no memory");
            memset(blocks[i], 1, 64 + i * 9);
        }
        for (unsigned i = 0; i < 200; i++) {
            free(blocks[i]);
        }
    }
    (void)sem_post(&done);
    (void)sem_wait(&leave);
    return argument;
}

// Each of the crowd worked once with 200 KB and sleeps. What their bins keep is bounded.
static void crowd_goes_idle(void) {
    REQUIRE(sem_init(&done, 0, 0) == 0 && sem_init(&leave, 0, 0) == 0, "semaphores");
    size_t before = test_resident();
    pthread_t threads[CROWD];
    for (unsigned i = 0; i < CROWD; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, busy_once, NULL) == 0, "thread %u", i);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        (void)sem_wait(&done);
    }
    size_t after = test_resident();
    size_t each = (after > before ? after - before : 0) / CROWD;
    printf("%u idle threads: %zu KiB each, stacks included\n", CROWD, each >> 10);
    REQUIRE(each < (1 << 20), "%zu bytes for an idle thread", each);
    for (unsigned i = 0; i < CROWD; i++) {
        (void)sem_post(&leave);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

#define NEIGHBOURS 8u
#define LINE 64u

// As many programs start a thread: it frees what its starter left to it, then works.
static void *begins_with_a_free(void *argument) {
    unsigned char **mine = argument;
    free(*mine);
    *mine = malloc(16);
    REQUIRE(*mine != NULL, "no memory");
    (void)sem_post(&done);
    (void)sem_wait(&leave);
    free(*mine);
    return NULL;
}

// Blocks that lay side by side were left to different threads. If each used its own again, they
// would write to the same cache lines from then on.
static void neighbours_part(void) {
    static unsigned char *blocks[NEIGHBOURS];
    pthread_t threads[NEIGHBOURS];
    for (unsigned i = 0; i < NEIGHBOURS; i++) {
        blocks[i] = malloc(16);
        REQUIRE(blocks[i] != NULL, "no memory");
    }
    for (unsigned i = 0; i < NEIGHBOURS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, begins_with_a_free, &blocks[i]) == 0, "thread");
    }
    for (unsigned i = 0; i < NEIGHBOURS; i++) {
        (void)sem_wait(&done);
    }
    for (unsigned i = 0; i < NEIGHBOURS; i++) {
        for (unsigned j = 0; j < i; j++) {
            uintptr_t apart = (uintptr_t)blocks[i] ^ (uintptr_t)blocks[j];
            REQUIRE(apart >= LINE, "%p and %p share a cache line", blocks[i], blocks[j]);
        }
    }
    for (unsigned i = 0; i < NEIGHBOURS; i++) {
        (void)sem_post(&leave);
    }
    for (unsigned i = 0; i < NEIGHBOURS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

int main(void) {
    produce_and_consume();
    crowd_goes_idle();
    for (unsigned wave = 0; wave < 3; wave++) {
        neighbours_part();
    }
    return 0;
}
