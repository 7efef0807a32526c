// Producers allocate, consumers free: every free is foreign. Batches travel through a bounded
// queue, so that the live set has a fixed bound and the lock is taken seldom.
// Arguments: PAIRS BATCHES BLOCKS (per batch) SIZE DEPTH (batches in the queue)
#include "team.h"

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t room;
    pthread_cond_t full;
    void ***batches;
    uint32_t depth;
    uint32_t head;
    uint32_t used;
};

static struct queue queue = {
    PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0, 0, 0};
static uint32_t pairs;
static uint32_t batches;
static uint32_t blocks;
static uint32_t size;

static void queue_put(void **batch) {
    pthread_mutex_lock(&queue.lock);
    while (queue.used == queue.depth) {
        pthread_cond_wait(&queue.room, &queue.lock);
    }
    queue.batches[(queue.head + queue.used) % queue.depth] = batch;
    queue.used++;
    pthread_cond_signal(&queue.full);
    pthread_mutex_unlock(&queue.lock);
}

static void **queue_take(void) {
    pthread_mutex_lock(&queue.lock);
    while (queue.used == 0) {
        pthread_cond_wait(&queue.full, &queue.lock);
    }
    void **batch = queue.batches[queue.head];
    queue.head = (queue.head + 1) % queue.depth;
    queue.used--;
    pthread_cond_signal(&queue.room);
    pthread_mutex_unlock(&queue.lock);
    return batch;
}

static void produce(void) {
    for (uint32_t i = 0; i < batches; i++) {
        void **batch = must(malloc(blocks * sizeof *batch));
        for (uint32_t k = 0; k < blocks; k++) {
            batch[k] = item_new(size, k + i);
        }
        queue_put(batch);
    }
}

static uint64_t consume(void) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < batches; i++) {
        void **batch = queue_take();
        for (uint32_t k = 0; k < blocks; k++) {
            sum += item_free(batch[k]);
        }
        free(batch);
    }
    return sum;
}

static void *work(void *member) {
    struct member *me = member;
    if (me->index < pairs) {
        produce();
    } else {
        me->sum = consume();
    }
    return NULL;
}

int main(int argc, char **argv) {
    static struct member team[TEAM_MOST];
    pairs = argument(argc, argv, 1, 1);
    batches = argument(argc, argv, 2, 1000);
    blocks = argument(argc, argv, 3, 1024);
    size = argument(argc, argv, 4, 64);
    queue.depth = argument(argc, argv, 5, 32);
    if (size < sizeof(struct item)) {
        fail("the size must be at least 8");
    }
    queue.batches = must(calloc(queue.depth, sizeof *queue.batches));
    uint64_t sum = team_run(team, 2 * pairs, work, NULL);
    free(queue.batches);
    return report(sum);
}
