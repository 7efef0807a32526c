// What lucid says is in use, beside counters that the program keeps itself, with several threads
// that replace each other's blocks. The heap holds nothing but these blocks.
//   exact    the threads stand still now and then: every number has to be right
//   hardened the same with option harden, where blocks are as large as asked for
//   racing   somebody looks while they work: right within 1% most of the time
//   dump DIR leaves the numbers and all text formats in files of that folder
#include "testing.h"

#include <fcntl.h>
#include <lucid.h>
#include <malloc.h>
#include <pthread.h>

#define THREADS 4u
#define SLOTS 4000u
#define ROUNDS 8u
#define STEPS (LUCID_SLOWED ? 4000u : 20000u)
#define LOOKS 200u
#define THRESHOLD ((size_t)1 << 20)
#define SMALL ((size_t)32 << 10)

struct counts {
    int64_t small_blocks, small_usable, large_blocks, large_usable, large_asked, mapping_blocks,
        mapping_asked;
};

struct slot {
    void *block;
    size_t size;
};

struct worker {
    pthread_t thread;
    uint64_t random;
    struct counts counts;  // what this thread added, less what it took away
    _Atomic int64_t bytes; // the same in live bytes, for who looks meanwhile
};

static struct worker workers[THREADS];
static struct slot slots[SLOTS]; // exchanged in whole, under the lock
static pthread_mutex_t slot_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static _Atomic bool finished;
static size_t size_most = (size_t)2 << 20;
static bool hardened; // a small block has a canary behind it, a larger one a mapping of its own

static void count(struct worker *worker, const struct slot *slot, int sign) {
    struct counts *c = &worker->counts;
    int64_t usable = (int64_t)lucid_malloc_usable_size(slot->block) * sign;
    int64_t asked = (int64_t)slot->size * sign;
    if (slot->size <= (hardened ? SMALL - 8 : SMALL)) {
        REQUIRE(!hardened || usable == asked, "%zd bytes are usable", (ssize_t)usable);
        c->small_blocks += sign;
        c->small_usable += usable;
        worker->bytes += usable;
    } else if (slot->size <= THRESHOLD && !hardened) {
        c->large_blocks += sign;
        c->large_usable += usable;
        c->large_asked += asked;
        worker->bytes += asked;
    } else {
        c->mapping_blocks += sign;
        c->mapping_asked += asked;
        worker->bytes += asked;
    }
}

// Mostly small, as programs are.
static size_t random_size(uint64_t *random) {
    uint32_t kind = test_random(random) % 1000;
    size_t most = kind < 700 ? 256 : kind < 980 ? 4096 : kind < 996 ? SMALL : size_most;
    return 1 + test_random(random) % most;
}

static void step(struct worker *worker) {
    struct slot slot = {.size = random_size(&worker->random)};
    slot.block = lucid_malloc(slot.size);
    REQUIRE(slot.block != NULL, "%zu bytes can be had", slot.size);
    count(worker, &slot, 1);
    (void)pthread_mutex_lock(&slot_lock);
    struct slot *place = &slots[test_random(&worker->random) % SLOTS];
    struct slot old = *place;
    *place = slot;
    (void)pthread_mutex_unlock(&slot_lock);
    if (old.block != NULL) {
        count(worker, &old, -1);
        lucid_free(old.block);
    }
}

static void *work_in_rounds(void *argument) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < STEPS; i++) {
            step(argument);
        }
        (void)pthread_barrier_wait(&barrier); // all stand still
        (void)pthread_barrier_wait(&barrier); // and may go on
    }
    return NULL;
}

static void *work_on(void *argument) {
    for (unsigned i = 0; i < STEPS; i++) {
        step(argument);
    }
    (void)pthread_barrier_wait(&barrier); // there is something to look at
    while (!finished) {
        step(argument);
    }
    return NULL;
}

static void begin(void *(*work)(void *)) {
    REQUIRE(lucid_mallopt(M_MMAP_THRESHOLD, (int)THRESHOLD) == 1, "the threshold can be set");
    (void)pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].random = test_seed() + i;
        REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0, "thread %u", i);
    }
}

static void end(void) {
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
    }
}

static struct counts sum_up(void) {
    struct counts sum = {.small_blocks = 0};
    for (unsigned i = 0; i < THREADS; i++) {
        const struct counts *c = &workers[i].counts;
        sum.small_blocks += c->small_blocks;
        sum.small_usable += c->small_usable;
        sum.large_blocks += c->large_blocks;
        sum.large_usable += c->large_usable;
        sum.large_asked += c->large_asked;
        sum.mapping_blocks += c->mapping_blocks;
        sum.mapping_asked += c->mapping_asked;
    }
    return sum;
}

static void same(const char *name, uint64_t said, int64_t shadow) {
    REQUIRE(said == (uint64_t)shadow, "%s: said %llu, is %lld", name, (unsigned long long)said,
            (long long)shadow);
}

static struct lucid_stats get(void) {
    struct lucid_stats stats = {.size = sizeof(stats)};
    REQUIRE(lucid_stats_get(&stats) == 0, "the numbers can be had");
    REQUIRE(stats.size == sizeof(stats), "all of them");
    return stats;
}

static void check_stats(const struct counts *shadow) {
    struct lucid_stats s = get();
    same("small_blocks", s.small_blocks, shadow->small_blocks);
    same("small_bytes", s.small_bytes, shadow->small_usable);
    same("large_blocks", s.large_blocks, shadow->large_blocks);
    same("large_bytes", s.large_bytes, shadow->large_asked);
    same("mapping_blocks", s.mapping_blocks, shadow->mapping_blocks);
    same("mapping_bytes", s.mapping_bytes, shadow->mapping_asked);
    same("live_blocks", s.live_blocks,
         shadow->small_blocks + shadow->large_blocks + shadow->mapping_blocks);
    same("live_bytes", s.live_bytes,
         shadow->small_usable + shadow->large_asked + shadow->mapping_asked);
    uint64_t parts = s.live_bytes + s.slack_bytes + s.cached_bytes + s.free_bytes + s.fresh_bytes +
                     s.pool_bytes + s.top_bytes;
    same("the sum of the parts", parts, (int64_t)(s.arena_bytes + s.mapped_bytes));
    REQUIRE(s.dirty_bytes <= s.pool_bytes, "what is dirty is in the pool");
    REQUIRE(s.threads >= THREADS, "%llu threads", (unsigned long long)s.threads);
}

static void check_mallinfo(const struct counts *shadow) {
    struct mallinfo2 wide = lucid_mallinfo2();
    struct mallinfo narrow = lucid_mallinfo();
    struct lucid_stats s = get();
    same("uordblks", wide.uordblks, shadow->small_usable + shadow->large_usable);
    same("hblks", wide.hblks, shadow->mapping_blocks);
    same("arena", wide.arena, (int64_t)(wide.uordblks + wide.fordblks));
    same("arena of lucid_stats", wide.arena, (int64_t)s.arena_bytes);
    same("fsmblks", wide.fsmblks, (int64_t)s.cached_bytes);
    same("smblks", wide.smblks, (int64_t)s.cached_blocks);
    same("keepcost", wide.keepcost, (int64_t)s.top_bytes);
    same("hblkhd", wide.hblkhd, (int64_t)s.mapped_bytes);
    same("mallinfo", (uint64_t)narrow.uordblks, (int64_t)wide.uordblks);
    double mapped = (double)wide.hblkhd;
    REQUIRE(hardened || shadow->mapping_asked == 0 || mapped / (double)shadow->mapping_asked < 1.01,
            "mappings are as large as asked for, within 1%%: %zu", wide.hblkhd);
}

static void run_exact(void) {
    begin(work_in_rounds);
    for (unsigned round = 0; round < ROUNDS; round++) {
        (void)pthread_barrier_wait(&barrier);
        struct counts shadow = sum_up();
        check_stats(&shadow);
        check_mallinfo(&shadow);
        (void)pthread_barrier_wait(&barrier);
    }
    end();
}

static int64_t shadow_bytes(void) {
    int64_t bytes = 0;
    for (unsigned k = 0; k < THREADS; k++) {
        bytes += workers[k].bytes;
    }
    return bytes;
}

// In between, a block may be counted twice or not at all. So most of the looks have to be right,
// not all. A look during which the others went far, because it was interrupted, says nothing: it is
// made again.
static void run_racing(void) {
    unsigned good = 0;
    unsigned tries = 0;
    size_most = (size_t)256 << 10;
    begin(work_on);
    (void)pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < LOOKS; i++) {
        int64_t before = 0;
        int64_t shadow = 0;
        struct lucid_stats s;
        do {
            (void)usleep(100);
            before = shadow_bytes();
            s = get();
            shadow = shadow_bytes();
        } while (llabs(shadow - before) > shadow / 200 && ++tries < 10 * LOOKS);
        double ratio = (double)s.live_bytes / (double)shadow;
        good += ratio > 0.99 && ratio < 1.01;
        REQUIRE(ratio > 0.5 && ratio < 2, "said %llu, is about %lld",
                (unsigned long long)s.live_bytes, (long long)shadow);
    }
    finished = true;
    end();
    printf("%u of %u looks were right within 1%%\n", good, LOOKS);
    REQUIRE(good > LOOKS / 2, "only %u of %u looks were right within 1%%", good, LOOKS);
}

static int open_in(const char *folder, const char *name) {
    char path[500];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    REQUIRE(file >= 0, "%s can be written", path);
    return file;
}

static void dump_info(const char *folder) {
    FILE *file = fdopen(open_in(folder, "info.xml"), "w");
    REQUIRE(file != NULL, "a stream can be had");
    REQUIRE(lucid_malloc_info(0, file) == 0, "malloc_info writes");
    (void)fclose(file);
}

static void dump_stats(const char *folder) {
    int kept = dup(STDERR_FILENO);
    int file = open_in(folder, "stats.txt");
    (void)dup2(file, STDERR_FILENO);
    lucid_malloc_stats();
    (void)dup2(kept, STDERR_FILENO);
    (void)close(kept);
    (void)close(file);
}

static void dump_texts(const char *folder) {
    int json = open_in(folder, "stats.json");
    int metrics = open_in(folder, "metrics.txt");
    REQUIRE(lucid_stats_print_json(json) == 0, "JSON is written");
    REQUIRE(lucid_stats_print_openmetrics(metrics) == 0, "OpenMetrics is written");
    (void)close(json);
    (void)close(metrics);
}

static void dump_shadow(const struct counts *shadow) {
    struct mallinfo2 info = lucid_mallinfo2();
    printf("{\"small_blocks\": %lld, \"small_usable\": %lld, \"large_blocks\": %lld, "
           "\"large_usable\": %lld, \"large_asked\": %lld, \"mapping_blocks\": %lld, "
           "\"mapping_asked\": %lld, \"arena\": %zu, \"fordblks\": %zu, \"fsmblks\": %zu}\n",
           (long long)shadow->small_blocks, (long long)shadow->small_usable,
           (long long)shadow->large_blocks, (long long)shadow->large_usable,
           (long long)shadow->large_asked, (long long)shadow->mapping_blocks,
           (long long)shadow->mapping_asked, info.arena, info.fordblks, info.fsmblks);
}

static void run_dump(const char *folder) {
    begin(work_in_rounds);
    for (unsigned round = 0; round < ROUNDS; round++) {
        (void)pthread_barrier_wait(&barrier);
        if (round == ROUNDS - 1) {
            struct counts shadow = sum_up();
            dump_info(folder);
            dump_stats(folder);
            dump_texts(folder);
            dump_shadow(&shadow);
        }
        (void)pthread_barrier_wait(&barrier);
    }
    end();
}

int main(int argc, char **argv) {
    REQUIRE(argc >= 2, "a mode is given");
    if (strcmp(argv[1], "exact") == 0) {
        run_exact();
    } else if (strcmp(argv[1], "hardened") == 0) {
        char value[32] = "";
        hardened = lucid_option_get("harden", value, sizeof(value)) == 0 && value[0] == '1';
        REQUIRE(hardened, "option harden is %s", value);
        run_exact();
    } else if (strcmp(argv[1], "racing") == 0) {
        run_racing();
    } else {
        REQUIRE(argc == 3, "a folder is given");
        run_dump(argv[2]);
    }
    return 0;
}
