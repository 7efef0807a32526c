// A server whose threads come and go: each takes over the blocks of the one before it, replaces
// a number of them at random, starts its heir and dies. Several such lines run side by side, and
// an heir takes over the table of the neighbouring line every other time.
// Arguments: LINES GENERATIONS OPERATIONS SLOTS
#include "team.h"

struct APART line {
    struct rng r;
    uint32_t generation;
    uint64_t sum;
    void **slots;
};

static uint32_t lines;
static uint32_t generations;
static uint32_t operations;
static uint32_t slot_count;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static uint32_t finished;

static void live(struct line *line) {
    for (uint32_t i = 0; i < operations; i++) {
        void **slot = &line->slots[rng_below(&line->r, slot_count)];
        line->sum += item_free(*slot);
        *slot = item_new(rng_between(&line->r, 8, 1000), i);
    }
}

static void *generation(void *argument_) {
    struct line *line = argument_;
    live(line);
    line->generation++;
    if (line->generation < generations) {
        pthread_t heir;
        if (pthread_create(&heir, NULL, generation, line) != 0 || pthread_detach(heir) != 0) {
            fail("a thread could not be started");
        }
        return NULL;
    }
    pthread_mutex_lock(&lock);
    finished++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

// Runs all lines for the given number of generations.
static void run(struct line *all, uint32_t until) {
    generations = until;
    finished = 0;
    for (uint32_t i = 0; i < lines; i++) {
        pthread_t first;
        if (pthread_create(&first, NULL, generation, &all[i]) != 0 || pthread_detach(first) != 0) {
            fail("a thread could not be started");
        }
    }
    pthread_mutex_lock(&lock);
    while (finished < lines) {
        pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

// The tables move round, so that blocks are freed by a line that never allocated them.
static void exchange(struct line *all) {
    void **first = all[0].slots;
    for (uint32_t i = 0; i + 1 < lines; i++) {
        all[i].slots = all[i + 1].slots;
    }
    all[lines - 1].slots = first;
}

static void prepare(struct line *line, uint32_t index) {
    line->r = rng_seed(index);
    line->slots = must(malloc(slot_count * sizeof *line->slots));
    for (uint32_t i = 0; i < slot_count; i++) {
        line->slots[i] = item_new(rng_between(&line->r, 8, 1000), i);
    }
}

static uint64_t clear(struct line *line) {
    for (uint32_t i = 0; i < slot_count; i++) {
        line->sum += item_free(line->slots[i]);
    }
    free(line->slots);
    return line->sum;
}

int main(int argc, char **argv) {
    lines = argument(argc, argv, 1, 2);
    uint32_t last = argument(argc, argv, 2, 20);
    operations = argument(argc, argv, 3, 50000);
    slot_count = argument(argc, argv, 4, 1000);
    static struct line all[TEAM_MOST];
    if (lines > TEAM_MOST) {
        fail("too many lines: at most 256");
    }
    for (uint32_t i = 0; i < lines; i++) {
        prepare(&all[i], i);
    }
    for (uint32_t done = 2; done <= last; done += 2) {
        run(all, done);
        exchange(all);
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < lines; i++) {
        sum += clear(&all[i]);
    }
    return report(sum);
}
