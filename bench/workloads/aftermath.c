// What is left of a burst. Producers run ahead of the consumers until everything is in the queue;
// then consumers, which allocated none of it, free all but the last batches. The threads stay.
// After a rest one line tells live bytes and resident memory beyond what the process had
// at its start:
//     # after live BYTES resident BYTES threads THREADS
// Arguments: PAIRS BATCHES BLOCKS (per batch) SIZE KEPT (batches that stay) REST (1/1000 s)
#include <time.h>

#include "memory.h"
#include "team.h"

static pthread_barrier_t turn;
static uint32_t pairs;
static uint32_t batches;
static uint32_t blocks;
static uint32_t size;
static uint32_t kept;
static void ***queue; // batch i of pair p is queue[p * batches + i]

static void produce(uint32_t pair) {
    for (uint32_t i = 0; i < batches; i++) {
        void **batch = must(malloc(blocks * sizeof *batch));
        for (uint32_t k = 0; k < blocks; k++) {
            batch[k] = memset(must(malloc(size)), 1, size);
            item_mark(batch[k], size, k + i);
        }
        queue[pair * batches + i] = batch;
    }
}

static uint64_t consume(uint32_t pair, uint32_t from, uint32_t to) {
    uint64_t sum = 0;
    for (uint32_t i = from; i < to; i++) {
        void **batch = queue[pair * batches + i];
        for (uint32_t k = 0; k < blocks; k++) {
            sum += item_free(batch[k]);
        }
        free(batch);
    }
    return sum;
}

// The turns: all is produced; all but the rest is freed; the rest has been looked at.
static void *work(void *member) {
    struct member *me = member;
    bool consumer = me->index >= pairs;
    uint32_t pair = me->index % pairs;
    if (!consumer) {
        produce(pair);
    }
    pthread_barrier_wait(&turn);
    if (consumer) {
        me->sum = consume(pair, 0, batches - kept);
    }
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    if (consumer) {
        me->sum += consume(pair, batches - kept, batches);
    }
    return NULL;
}

static void look(uint64_t at_start, uint32_t ms) {
    struct timespec rest = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&rest, NULL);
    uint64_t live = (uint64_t)pairs * kept * blocks * (size + sizeof(void *));
    uint64_t now = memory_resident();
    printf("# after live %" PRIu64 " resident %" PRIu64 " threads %" PRIu32 "\n", live,
           now > at_start ? now - at_start : 0, 2 * pairs);
}

int main(int argc, char **argv) {
    static struct member team[TEAM_MOST];
    pairs = argument(argc, argv, 1, 2);
    batches = argument(argc, argv, 2, 200);
    blocks = argument(argc, argv, 3, 1024);
    size = argument(argc, argv, 4, 64);
    kept = argument(argc, argv, 5, 20);
    uint32_t ms = argument(argc, argv, 6, 1500);
    if (size < sizeof(struct item) || kept > batches) {
        fail("SIZE must be at least 8, and KEPT no more than BATCHES");
    }
    queue = must(malloc((size_t)pairs * batches * sizeof *queue));
    memset(queue, 0, (size_t)pairs * batches * sizeof *queue);
    if (pthread_barrier_init(&turn, NULL, 2 * pairs + 1) != 0) {
        fail("a barrier could not be made");
    }
    uint64_t at_start = memory_resident();
    team_start(team, 2 * pairs, work, NULL);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    look(at_start, ms);
    pthread_barrier_wait(&turn);
    uint64_t sum = team_wait(team, 2 * pairs);
    free(queue);
    return report(sum);
}
