// How the time per operation grows. live: one thread replaces random blocks among so many live
// ones; a second pass over the same slots only touches the blocks, and what it takes is the cost
// of the cache misses on the blocks themselves. threads: each thread does the same number of
// local operations on a small stock of its own. Prints
//     # ns OPERATION touch TOUCH
// nanoseconds of processor time per replacement (or of elapsed time times processors in use).
// Arguments: live|threads COUNT OPERATIONS
#include <time.h>
#include <unistd.h>

#include "team.h"

enum { STOCK = 512 };

static uint32_t operations;

static double seconds(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) {
        fail("the clock could not be read");
    }
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t size_of(struct rng *r) {
    return rng_between(r, 16, 112);
}

static uint64_t touch(void **slots, uint32_t count) {
    struct rng r = rng_seed(23);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < operations; i++) {
        uint32_t k = rng_below(&r, count);
        sum += item_check(slots[k]);
        (void)size_of(&r); // the same draws as a replacement makes
        item_mark(slots[k], ((struct item *)slots[k])->size, i);
    }
    return sum;
}

static uint64_t replace(void **slots, uint32_t count) {
    struct rng r = rng_seed(23);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < operations; i++) {
        uint32_t k = rng_below(&r, count);
        sum += item_free(slots[k]);
        slots[k] = item_new(size_of(&r), i);
    }
    return sum;
}

static void **filled(uint32_t count) {
    struct rng r = rng_seed(29);
    void **slots = must(malloc(count * sizeof *slots));
    for (uint32_t i = 0; i < count; i++) {
        slots[i] = item_new(size_of(&r), i);
    }
    return slots;
}

static uint64_t clear(void **slots, uint32_t count) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += item_free(slots[i]);
    }
    free(slots);
    return sum;
}

static int measure_live(uint32_t count) {
    void **slots = filled(count);
    uint64_t sum = replace(slots, count); // settles the heap first
    double t0 = seconds(CLOCK_PROCESS_CPUTIME_ID);
    sum += replace(slots, count);
    double t1 = seconds(CLOCK_PROCESS_CPUTIME_ID);
    sum += touch(slots, count);
    double t2 = seconds(CLOCK_PROCESS_CPUTIME_ID);
    sum += clear(slots, count);
    printf("# ns %.2f touch %.2f\n", (t1 - t0) * 1e9 / operations, (t2 - t1) * 1e9 / operations);
    return report(sum);
}

static void *work(void *member) {
    struct member *me = member;
    void **slots = filled(STOCK);
    me->sum = replace(slots, STOCK);
    me->sum += clear(slots, STOCK);
    return NULL;
}

static int measure_threads(uint32_t count) {
    static struct member team[TEAM_MOST];
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t busy = online > 0 && (uint32_t)online < count ? (uint32_t)online : count;
    double t0 = seconds(CLOCK_MONOTONIC);
    uint64_t sum = team_run(team, count, work, NULL);
    double t1 = seconds(CLOCK_MONOTONIC);
    double all = (double)operations * count;
    printf("# ns %.2f touch 0\n", (t1 - t0) * 1e9 * busy / all);
    return report(sum);
}

int main(int argc, char **argv) {
    uint32_t count = argument(argc, argv, 2, 10000);
    operations = argument(argc, argv, 3, 1000000);
    if (argc > 1 && strcmp(argv[1], "live") == 0) {
        return measure_live(count);
    }
    if (argc > 1 && strcmp(argv[1], "threads") == 0) {
        return measure_threads(count);
    }
    fprintf(stderr, "%s: the first argument must be live or threads\n", argv[0]);
    return 64;
}
