// Many short threads: does each give back all it had, whenever it allocates for the last time?
//   short THREADS KIND
// KIND: plain, or destructors-FIRST-LAST: a key's destructor allocates in rounds FIRST to LAST of
// the thread's end (glibc has 4), and the thread itself not at all when FIRST > 1; handover: blocks
// outlive their thread and are freed by the next one; cancel: the thread is cancelled.
#include "testing.h"

#include <pthread.h>

#define GROWTH_MAX 100 // bytes a thread

static pthread_key_t key;
static int first_round;
static int last_round;
static bool handing_over;
static bool cancelled;
static void *handed[64];

struct rounds {
    int done;
};

static _Thread_local struct rounds rounds;

static void work(void) {
    void *blocks[40];
    for (unsigned i = 0; i < 40; i++) {
        blocks[i] = malloc(i * 37 + 1);
        REQUIRE(blocks[i] != NULL, "no memory");
        memset(blocks[i], 0x5a, i * 37 + 1);
    }
    for (unsigned i = 0; i < 40; i++) {
        free(blocks[i]);
    }
}

static void at_end(void *argument) {
    rounds.done++;
    if (rounds.done >= first_round) {
        work();
    }
    if (rounds.done < last_round) {
        REQUIRE(pthread_setspecific(key, argument) == 0, "set again");
    }
}

static void *plain_thread(void *argument) {
    work();
    return argument;
}

static void *handover_thread(void *argument) {
    for (unsigned i = 0; i < 64; i++) {
        free(handed[i]); // of a thread that is dead
        handed[i] = malloc(i * 50 + 1);
        REQUIRE(handed[i] != NULL, "no memory");
    }
    return argument;
}

static void *destructor_thread(void *argument) {
    REQUIRE(pthread_setspecific(key, &rounds) == 0, "set");
    if (first_round <= 1) {
        work();
    }
    return argument;
}

static void clean_up(void *block) {
    free(block);
    work();
}

static void *endless_thread(void *argument) {
    void *block = malloc(777);
    pthread_cleanup_push(clean_up, block);
    work();
    for (;;) {
        pthread_testcancel();
        work();
    }
    pthread_cleanup_pop(1);
    return argument;
}

static void one_thread(void) {
    pthread_t thread;
    void *(*body)(void *) = cancelled        ? endless_thread
                            : handing_over   ? handover_thread
                            : last_round > 0 ? destructor_thread
                                             : plain_thread;
    REQUIRE(pthread_create(&thread, NULL, body, NULL) == 0, "a thread");
    if (cancelled) {
        REQUIRE(pthread_cancel(thread) == 0, "cancel");
    }
    REQUIRE(pthread_join(thread, NULL) == 0, "join");
}

int main(int count, char **values) {
    REQUIRE(count == 3, "usage: short THREADS KIND");
    unsigned threads = (unsigned)strtoul(values[1], NULL, 0);
    const char *kind = values[2];
    handing_over = strcmp(kind, "handover") == 0;
    cancelled = strcmp(kind, "cancel") == 0;
    bool destructors = sscanf(kind, "destructors-%d-%d", &first_round, &last_round) == 2;
    REQUIRE(destructors || handing_over || cancelled || strcmp(kind, "plain") == 0, "%s?", kind);
    // Setting one of the first 32 keys does not allocate, setting a later one does. A thread that
    // shall allocate for the first time in its last round has an early one.
    if (first_round > 1) {
        REQUIRE(pthread_key_create(&key, at_end) == 0, "a key");
    }
    pthread_key_t others[40];
    for (unsigned i = 0; i < 40; i++) {
        REQUIRE(pthread_key_create(&others[i], NULL) == 0, "a key");
    }
    if (first_round <= 1) {
        REQUIRE(pthread_key_create(&key, at_end) == 0, "a key");
    }
    unsigned warm = threads / 10;
    for (unsigned i = 0; i < warm; i++) {
        one_thread();
    }
    size_t before = test_resident();
    REQUIRE(before != 0, "/proc/self/statm cannot be read");
    for (unsigned i = warm; i < threads; i++) {
        one_thread();
    }
    size_t after = test_resident();
    size_t growth = after > before ? after - before : 0;
    printf("%u threads (%s): resident memory grew by %zu bytes, %.1f a thread\n", threads, kind,
           growth, (double)growth / (threads - warm));
    REQUIRE(growth <= (size_t)GROWTH_MAX * (threads - warm), "growth of %zu", growth);
    return 0;
}
