// A program for the reader's tests: one thread sleeps with blocks in its bins, and the helper's
// steps with these (idle.h) stop at a known moment. Prints what it knows ("ready" and pairs
// NAME=VALUE), with what lucid_stats_get says there, and waits until its standard input ends.
//
//   sleeper STAGE              once the bins are so far: 1 asked, 2 fenced, 3 taken
//   sleeper STAGE STEPS        so many instructions into the step that leads there, or at its end
#include "bin.h"
#include "helper.h"
#include "idle.h"
#include "singlestep.h"

#include <lucid.h>
#include <pthread.h>
#include <time.h>

#define BLOCKS 200u // of each size; each fourth stays in use, so that no span ends

static const size_t sizes[] = {48, 160, 720};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static struct heap *_Atomic sleeper;

static void *sleep_with_full_bins(void *argument) {
    static void *blocks[SIZES * BLOCKS];
    for (unsigned i = 0; i < SIZES * BLOCKS; i++) {
        blocks[i] = lucid_malloc(sizes[i % SIZES]);
        REQUIRE(blocks[i] != NULL, "block %u", i);
    }
    for (unsigned i = 0; i < SIZES * BLOCKS; i++) {
        if (i / SIZES % 4 != 0) {
            lucid_free(blocks[i]);
        }
    }
    sleeper = heap_self;
    for (;;) {
        (void)pause();
    }
    return argument;
}

static void wait_for_end(void) {
    char byte;
    const struct heap *heap = sleeper;
    unsigned class = sizeclass_of(sizes[0]);
    const struct fence *fence = heap->fences != NULL ? &heap->fences[class] : NULL;
    bool fenced = fence != NULL && fence->slot != 0;
    struct lucid_stats stats = {.size = sizeof(stats)};
    REQUIRE(lucid_stats_get(&stats) == 0, "the numbers can be had");
    printf("ready pid=%d tid=%u stage=%u leaving=%u used=%llu cached=%llu aside=%p\n",
           (int)getpid(), heap->tid, atomic_load(&heap->idle), heap->flush_count,
           (unsigned long long)stats.small_blocks, (unsigned long long)stats.cached_blocks,
           fenced ? fence->block : NULL);
    (void)fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    _exit(0);
}

static unsigned long steps_left;

static void count_down(void) {
    if (--steps_left == 0) {
        wait_for_end();
    }
}

static void look(unsigned long steps) {
    bool taken = false;
    steps_left = steps;
    if (steps > 0) {
        singlestep_begin(count_down);
    }
    (void)idle_look(0, &taken);
    singlestep_end();
}

// A step is taken only once its time has come: what is stopped in
// the middle of is the one that counts.
static void look_until(unsigned stage, unsigned long steps) {
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 30000000};
    while (atomic_load(&sleeper->idle) != stage) {
        bool last = atomic_load(&sleeper->idle) + 1 == stage;
        (void)nanosleep(&pause, NULL);
        look(last ? steps : 0);
    }
}

int main(int argc, char **argv) {
    pthread_t thread;
    REQUIRE(argc >= 2, "a stage");
    helper_pause(); // this program does its work
    REQUIRE(pthread_create(&thread, NULL, sleep_with_full_bins, NULL) == 0, "a thread");
    while (sleeper == NULL) {
        (void)usleep(1000);
    }
    look_until((unsigned)strtoul(argv[1], NULL, 10), argc > 2 ? strtoul(argv[2], NULL, 10) : 0);
    wait_for_end();
}
