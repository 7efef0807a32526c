// The memory limit: what is resident never exceeds it, what is free is given back before a request
// fails, and the program's callback is asked.
//   limit CASE [shadowed]
#include "allowance.h"
#include "invariants.h"
#include "testing.h"

#include <errno.h>
#include <lucid.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define MIB ((size_t)1 << 20)
#define LIMIT (64 * MIB)
#define SLACK (256u << 10) // the last pages of the tables
#define MANY 2000000u

static void *blocks[MANY];

// Resident bytes in [start, end), seen by the kernel.
static size_t resident_in(uintptr_t start, uintptr_t end) {
    static unsigned char pages[1 << 16];
    size_t page = (size_t)sysconf(_SC_PAGESIZE); // the kernel's, not the pretended one
    size_t count = 0;
    start = align_down(start, page);
    while (start < end) {
        size_t length = end - start < sizeof(pages) * page ? end - start : sizeof(pages) * page;
        if (mincore((void *)start, length, pages) != 0) {
            return count; // unmapped meanwhile
        }
        for (size_t i = 0; i < (length + page - 1) / page; i++) {
            count += pages[i] & 1;
        }
        start += length;
    }
    return count * page;
}

static size_t resident(void) {
    const struct root_live *live = &root.live;
    uint64_t units = live->limit;
    size_t bytes = resident_in(unit_address(1), unit_address((uint32_t)units));
    bytes += resident_in((uintptr_t)root.fixed.units, (uintptr_t)(root.fixed.units + units));
    bytes += resident_in((uintptr_t)root.fixed.runs, (uintptr_t)(root.fixed.runs + units));
    bytes += resident_in(live->meta_next, root.fixed.meta_end);
    const struct hardened *hardened = live->hardened;
    if (hardened != NULL) {
        uintptr_t bits = (uintptr_t)hardened->live;
        bytes += resident_in(bits, bits + hardened->opened * LIVE_BYTES);
    }
    const struct mapping_table *table = &live->mappings;
    for (uint32_t i = 0; i < table->capacity; i++) {
        struct mapping mapping = table->entries[i];
        if (mapping.address != 0) {
            bytes += resident_in(mapping.start, mapping.start + mapping.length);
        }
    }
    return bytes;
}

static void require_within(size_t limit) {
    size_t bytes = resident();
    REQUIRE(bytes <= limit + SLACK, "%zu bytes are resident, %zu are allowed", bytes, limit);
    uint64_t taken = root.live.allowance.taken; // with records that cannot be refused
    REQUIRE(taken <= limit + SLACK, "%llu bytes are taken, %zu are allowed",
            (unsigned long long)taken, limit);
}

static void begin(void) {
    REQUIRE(lucid_mallopt(M_MMAP_THRESHOLD, 300000) == 1, "the threshold can be set");
    REQUIRE(lucid_limit_set(LIMIT) == 0, "the limit can be set");
}

// Takes and fills blocks until there are no more. Returns how many there are; *bytes of them.
static size_t take_all(size_t (*size_of)(uint64_t *), uint64_t *state, size_t *bytes) {
    *bytes = 0;
    for (size_t i = 0; i < MANY; i++) {
        size_t size = size_of(state);
        errno = 0;
        blocks[i] = lucid_malloc(size);
        if (blocks[i] == NULL) {
            REQUIRE(errno == ENOMEM, "errno is %d", errno);
            return i;
        }
        memset(blocks[i], 1, size);
        *bytes += size;
    }
    REQUIRE(false, "%u blocks fit", MANY);
    return 0;
}

static void free_blocks(size_t count, size_t step) {
    for (size_t i = 0; i < count; i += step) {
        lucid_free(blocks[i]);
        blocks[i] = NULL;
    }
}

static size_t small_one(uint64_t *state) {
    (void)state;
    return 64;
}

static size_t large_one(uint64_t *state) {
    return 60000 + test_random(state) % 100000;
}

static size_t mapped_one(uint64_t *state) {
    return 400000 + test_random(state) % 100000;
}

// Whatever the memory was used for before, nearly all of it can be used for something else.
static void one_thread(void) {
    size_t (*const kinds[])(uint64_t *) = {small_one, large_one, mapped_one,
                                           test_size, small_one, mapped_one};
    uint64_t state = test_seed();
    // Of the last unit of a large block half is left over: little of 16 KiB, more of 64 KiB.
    size_t least = UNIT_SIZE <= 16384 ? LIMIT / 4 * 3 : LIMIT / 3 * 2;
    begin();
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        size_t bytes = 0;
        size_t count = take_all(kinds[i], &state, &bytes);
        require_within(LIMIT);
        REQUIRE(bytes > least, "kind %u: only %zu bytes fit into %zu", i, bytes, LIMIT);
        free_blocks(count, 2);
        require_within(LIMIT);
        free_blocks(count, 1);
    }
    invariants_check(false);
}

// ---- threads that sleep -------------------------------------------------------------------------

static pthread_barrier_t turns;

static size_t mixed_small_one(uint64_t *state) {
    return test_random(state) % 1000 + 16;
}

// No part of a unit is lost, however large units are.
static size_t whole_units(uint64_t *state) {
    size_t least = max_size(65536 / UNIT_SIZE, 1);
    return (least + test_random(state) % (least + least / 2)) * UNIT_SIZE;
}

// What it has in its bins then is a block of each of many spans.
static void *free_and_sleep(void *argument) {
    uint64_t state = test_seed();
    size_t bytes;
    size_t count = take_all(mixed_small_one, &state, &bytes);
    for (size_t i = count; i > 0; i--) {
        size_t other = test_random(&state) % i;
        lucid_free(blocks[other]);
        blocks[other] = blocks[i - 1];
    }
    pthread_barrier_wait(&turns);
    pthread_barrier_wait(&turns);
    return argument;
}

static void sleepers(void) {
    pthread_t thread;
    uint64_t state = test_seed();
    begin();
    pthread_barrier_init(&turns, NULL, 2);
    REQUIRE(pthread_create(&thread, NULL, free_and_sleep, NULL) == 0, "a thread can be made");
    pthread_barrier_wait(&turns);
    size_t bytes = 0;
    size_t count = take_all(whole_units, &state, &bytes);
    REQUIRE(UNDER_TSAN || bytes > LIMIT / 12 * 11,
            "only %zu bytes fit into %zu while another thread sleeps", bytes, LIMIT);
    require_within(LIMIT);
    free_blocks(count, 1);
    pthread_barrier_wait(&turns);
    pthread_join(thread, NULL);
    invariants_check(false);
}

// ---- threads ------------------------------------------------------------------------------------

static bool shadowed; // a sanitizer has memory of its own for each piece of ours
static _Atomic bool stop;
static _Atomic unsigned long refusals;

static void *churn(void *argument) {
    uint64_t state = (uintptr_t)argument;
    void *mine[600] = {NULL};
    while (!stop) {
        unsigned i = test_random(&state) % 600;
        size_t size = test_random(&state) % 4 == 0 ? mapped_one(&state) : test_size(&state) + 1;
        bool fresh = test_random(&state) % 2 == 0;
        if (fresh) {
            lucid_free(mine[i]);
            mine[i] = NULL;
        }
        void *block = fresh ? lucid_calloc(1, size) : lucid_realloc(mine[i], size);
        if (block == NULL) {
            REQUIRE(errno == ENOMEM, "errno is %d", errno);
            refusals++;
            continue;
        }
        memset(block, 1, size);
        mine[i] = block;
    }
    for (unsigned i = 0; i < 600; i++) {
        lucid_free(mine[i]);
    }
    return NULL;
}

static void threads(void) {
    pthread_t churners[4];
    begin();
    size_t before = test_resident();
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE(pthread_create(&churners[i], NULL, churn, (void *)(uintptr_t)(i + 1)) == 0,
                "thread %u", i);
    }
    // The kernel's own count is one of one moment, but for what each processor has not added yet.
    for (unsigned i = 0; i < 4000 && (i < 300 || refusals < 200); i++) {
        size_t bytes = test_resident();
        REQUIRE(shadowed || bytes <= before + LIMIT + MIB,
                "%zu bytes are resident, %zu were at first", bytes, before);
        REQUIRE(root.live.allowance.taken <= LIMIT + SLACK, "%llu bytes are taken",
                (unsigned long long)root.live.allowance.taken);
        usleep(1000);
    }
    stop = true;
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE(pthread_join(churners[i], NULL) == 0, "thread %u", i);
    }
    REQUIRE(refusals > 0, "the threads never came to the limit");
    invariants_check(false);
    printf("%lu requests were refused\n", refusals);
}

// ---- the callback -------------------------------------------------------------------------------

struct cache {
    void *blocks[100];
    unsigned count;
    unsigned calls;
    size_t asked; // at the last call
};

// Gives up one block, as long as there is one. Uses the heap meanwhile.
static int shrink(void *context, size_t size) {
    struct cache *cache = context;
    cache->calls++;
    cache->asked = size;
    REQUIRE(lucid_malloc(LIMIT - MIB) == NULL, "the callback has more than there is");
    (void)lucid_malloc_trim(0);
    if (cache->count == 0) {
        return 0;
    }
    lucid_free(cache->blocks[--cache->count]);
    void *small = lucid_malloc(100);
    REQUIRE(small != NULL, "no room for the callback itself");
    lucid_free(small);
    return 1;
}

static void fill_cache(struct cache *cache) {
    memset(cache, 0, sizeof(*cache));
    lucid_on_limit(shrink, NULL);
    lucid_on_limit(NULL, NULL);
    while (cache->count < 100 && (cache->blocks[cache->count] = lucid_malloc(MIB)) != NULL) {
        memset(cache->blocks[cache->count], 1, MIB);
        cache->count++;
    }
    REQUIRE(cache->count > 50 && cache->count < 64, "%u MiB fit into 64", cache->count);
    lucid_on_limit(shrink, cache);
}

static void callback(void) {
    struct cache cache;
    begin();
    fill_cache(&cache);
    unsigned had = cache.count;
    errno = 1789;
    char *block = lucid_malloc(5 * MIB);
    REQUIRE(block != NULL, "the callback made no room");
    REQUIRE(errno == 1789, "errno is the callback's: %d", errno);
    memset(block, 2, 5 * MIB);
    require_within(LIMIT);
    REQUIRE(cache.asked == 5 * MIB, "it was asked for %zu", cache.asked);
    REQUIRE(cache.calls == had - cache.count && cache.calls >= 4 && cache.calls <= 6,
            "%u calls gave up %u", cache.calls, had - cache.count);
    void *zeros = lucid_calloc(3, MIB);
    REQUIRE(zeros != NULL && test_zero(zeros, 3 * MIB), "calloc");
    cache.calls = 0;
    errno = 0;
    REQUIRE(lucid_malloc(LIMIT + 1) == NULL && errno == ENOMEM, "more than the limit");
    REQUIRE(cache.calls == 0, "it was asked for what can never be");
    cache.count = 0;
    REQUIRE(lucid_malloc(30 * MIB) == NULL && errno == ENOMEM, "nothing more to give up");
    REQUIRE(cache.calls == 1, "%u calls", cache.calls);
    lucid_on_limit(NULL, NULL);
    REQUIRE(lucid_malloc(30 * MIB) == NULL && cache.calls == 1, "the callback is gone");
    invariants_check(false);
}

// A mapping grows where it is as soon as there is room for what is new;
// a copy would need all of it.
static void resizing(void) {
    struct cache cache;
    begin();
    char *block = lucid_malloc(20 * MIB);
    memset(block, 7, 20 * MIB);
    memset(&cache, 0, sizeof(cache));
    while ((cache.blocks[cache.count] = lucid_malloc(MIB)) != NULL) {
        memset(cache.blocks[cache.count++], 1, MIB);
    }
    char *grown = lucid_realloc(block, 25 * MIB);
    REQUIRE(grown == NULL && errno == ENOMEM, "it grows beyond the limit");
    REQUIRE(block[0] == 7 && block[20 * MIB - 1] == 7, "it is as it was");
    for (unsigned i = 0; i < 6; i++) {
        lucid_free(cache.blocks[--cache.count]);
    }
    grown = lucid_realloc(block, 25 * MIB);
    REQUIRE(grown != NULL && grown[0] == 7 && grown[20 * MIB - 1] == 7, "there is room for it");
    memset(grown, 8, 25 * MIB);
    require_within(LIMIT);
    cache.count = 8; // enough for what is new, not for a copy
    lucid_on_limit(shrink, &cache);
    errno = 1789;
    grown = lucid_realloc(grown, 30 * MIB);
    REQUIRE(grown != NULL && grown[25 * MIB - 1] == 8, "the callback made room");
    REQUIRE(errno == 1789, "errno is %d although there was room", errno);
    memset(grown, 9, 30 * MIB);
    require_within(LIMIT);
    grown = lucid_realloc(grown, MIB);
    REQUIRE(grown != NULL && grown[MIB - 1] == 9, "it shrinks");
    invariants_check(false);
}

// Where there is no room for a small copy of a large block, the end of the block goes all the same.
static void shrinking_from(size_t size) {
    static struct list { struct list *next; } * all;
    char *block = lucid_malloc(size);
    REQUIRE(block != NULL, "%zu bytes", size);
    memset(block, 5, size);
    for (struct list *one; (one = lucid_malloc(1000)) != NULL; all = one) {
        one->next = all;
    }
    char *shrunk = lucid_realloc(block, 1000);
    REQUIRE(shrunk != NULL && shrunk[999] == 5, "what stays of it");
    REQUIRE(lucid_malloc_usable_size(shrunk) <= 64 << 10, "it has %zu bytes",
            lucid_malloc_usable_size(shrunk));
    char *other = lucid_malloc(size - MIB);
    REQUIRE(other != NULL, "no room although %zu bytes went", size);
    memset(other, 6, size - MIB);
    require_within(LIMIT);
    lucid_free(other);
    lucid_free(shrunk);
    while (all != NULL) {
        struct list *next = all->next;
        lucid_free(all);
        all = next;
    }
    invariants_check(false);
}

static void shrinking(void) {
    begin();
    shrinking_from(30 * MIB);
    shrinking_from(40 * MIB); // a mapping
}

static void heaps(void) {
    begin();
    lucid_heap *heap = lucid_heap_new("limited");
    for (unsigned round = 0; round < 3; round++) {
        size_t bytes = 0;
        for (void *block = NULL; (block = lucid_heap_alloc(heap, 5000)) != NULL; bytes += 5000) {
            memset(block, 1, 5000);
        }
        REQUIRE(errno == ENOMEM && bytes > LIMIT / 4 * 3, "only %zu bytes fit", bytes);
        require_within(LIMIT);
        lucid_heap_free_all(heap);
    }
    struct cache cache;
    fill_cache(&cache);
    REQUIRE(lucid_heap_alloc(heap, 4 * MIB) != NULL && cache.calls > 0, "the callback is asked");
    lucid_heap_destroy(heap);
    invariants_check(false);
}

static unsigned make_heaps(void) {
    unsigned count = 0;
    errno = 0;
    while (count < MANY && (blocks[count] = lucid_heap_new("one of many")) != NULL) {
        count++;
    }
    REQUIRE(count < MANY && errno == ENOMEM, "%u heaps, errno is %d", count, errno);
    return count;
}

// Heaps without blocks are memory too: what is free goes back for them, and the program is asked.
static void heap_records(void) {
    static struct cache cache;
    REQUIRE(lucid_option_set("purge", "0") == 0, "nothing goes back by itself");
    begin();
    fill_cache(&cache);
    lucid_on_limit(NULL, NULL);
    for (unsigned i = 0; i < 8; i++) {
        lucid_free(cache.blocks[--cache.count]);
    }
    uint64_t state = test_seed();
    size_t bytes = 0;
    free_blocks(take_all(large_one, &state, &bytes), 1); // dirty memory of the arena now
    unsigned count = make_heaps();
    size_t record = sizeof(struct lucid_region);
    REQUIRE(count > 7 * MIB / record, "only %u heaps in 8 MiB that are free", count);
    require_within(LIMIT);
    lucid_on_limit(shrink, &cache);
    REQUIRE(lucid_heap_new("asked for") != NULL, "the callback made no room");
    REQUIRE(cache.calls == 1 && cache.asked == record, "%u calls, for %zu bytes", cache.calls,
            cache.asked);
    for (unsigned i = 0; i < count; i++) {
        lucid_heap_destroy(blocks[i]);
    }
    invariants_check(false);
}

static void lowered(void) {
    uint64_t state = test_seed();
    size_t bytes = 0;
    REQUIRE(lucid_limit_set(1) == EINVAL && lucid_limit_set(MIB - 1) == EINVAL, "too little");
    REQUIRE(lucid_limit_set(SIZE_MAX) == EINVAL, "too much");
    begin();
    size_t count = take_all(large_one, &state, &bytes);
    REQUIRE(lucid_limit_set(LIMIT / 4) == 0, "it can be lowered");
    REQUIRE(lucid_malloc(1 * MIB) == NULL && errno == ENOMEM, "there is more than the new limit");
    REQUIRE(((char *)blocks[count - 1])[0] == 1, "what is taken stays");
    free_blocks(count, 1);
    count = take_all(large_one, &state, &bytes);
    require_within(LIMIT / 4);
    REQUIRE(lucid_limit_set(0) == 0, "it can be lifted");
    void *block = lucid_malloc(2 * LIMIT);
    REQUIRE(block != NULL, "there is no limit any more");
    lucid_free(block);
    free_blocks(count, 1);
    invariants_check(false);
}

static void forked(void) {
    pthread_t churners[2];
    begin();
    for (unsigned i = 0; i < 2; i++) {
        REQUIRE(pthread_create(&churners[i], NULL, churn, (void *)(uintptr_t)(i + 1)) == 0,
                "thread %u", i);
    }
    for (unsigned i = 0; i < 100; i++) {
        pid_t pid = fork();
        REQUIRE(pid >= 0, "fork %u", i);
        if (pid == 0) {
            alarm(20);
            lucid_free(lucid_malloc(100000));
            invariants_check(true);
            _exit(0);
        }
        int status = 0;
        REQUIRE(waitpid(pid, &status, 0) == pid && status == 0, "a child ended with %#x",
                (unsigned)status);
    }
    stop = true;
    for (unsigned i = 0; i < 2; i++) {
        REQUIRE(pthread_join(churners[i], NULL) == 0, "thread %u", i);
    }
}

// The kernel counts what the quarantine and the live bits need, too.
static void hardened(void) {
    lucid_free(lucid_malloc(1));
    REQUIRE(root.live.hardened != NULL && root.live.allowance.most == 32 * MIB, "the options");
    invariants_check(false);
    memset(blocks, 0, sizeof(blocks));
    size_t before = test_resident();
    size_t count = 0;
    while (count < MANY && (blocks[count] = lucid_malloc(8)) != NULL) {
        count++;
    }
    REQUIRE(count > 500000 && count < MANY, "%zu blocks of 8 bytes fit", count);
    free_blocks(count, 1);
    size_t bytes = test_resident() - before;
    REQUIRE(shadowed || bytes <= 32 * MIB + MIB, "%zu bytes are resident", bytes);
    require_within(32 * MIB);
    invariants_check(false);
}

// LUCID_OPTIONS=limit=... says what the limit is.
static void option_size(void) {
    uint64_t state = test_seed();
    size_t bytes = 0;
    size_t count = take_all(test_size, &state, &bytes);
    REQUIRE(root.live.allowance.most == 24 * MIB, "the limit is %llu",
            (unsigned long long)root.live.allowance.most);
    require_within(24 * MIB);
    REQUIRE(bytes > 24 * MIB / 2, "only %zu bytes fit", bytes);
    free_blocks(count, 1);
}

static void option_share(void) {
    lucid_free(lucid_malloc(1));
    size_t machine = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    uint64_t most = root.live.allowance.most;
    REQUIRE(most >= MIB && most <= machine / 2, "half of %zu or of less is %llu", machine,
            (unsigned long long)most);
}

int main(int count, char **values) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"one_thread", one_thread}, {"threads", threads},
        {"callback", callback},     {"resizing", resizing},
        {"heaps", heaps},           {"lowered", lowered},
        {"forked", forked},         {"size", option_size},
        {"share", option_share},    {"heap_records", heap_records},
        {"sleepers", sleepers},     {"shrinking", shrinking},
        {"hardened", hardened},
    };
    shadowed = count == 3 && strcmp(values[2], "shadowed") == 0;
    for (size_t i = 0; count >= 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(values[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    (void)fprintf(stderr, "limit: no case is called %s\n", count >= 2 ? values[1] : "that");
    return 64;
}
