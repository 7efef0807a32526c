// What a thread's heap is while the thread ends, and afterwards, and what it gives when asked.
#include "heap.h"

#include "bin.h"
#include "helper.h"
#include "idle.h"
#include "init.h"
#include "root.h"
#include "testing.h"
#include "unit.h"

#include <lucid.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT 200u

static struct heap *ended;
static bool heap_at_destructor;

static int begin(void **state) {
    (void)state;
    return init_ready() ? 0 : -1;
}

static void fill_bins(void) {
    static void *blocks[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = lucid_malloc(16 + i * 8);
        assert_non_null(blocks[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        lucid_free(blocks[i]);
    }
}

static unsigned cached_blocks(const struct heap *heap) {
    unsigned count = 0;
    for (unsigned class = 1; class < CLASS_COUNT; class ++) {
        count += bin_count(heap, class) + (heap->held[class] != 0);
    }
    return count;
}

static void *work_and_end(void *argument) {
    fill_bins();
    ended = heap_self;
    *(unsigned *)argument = cached_blocks(ended);
    return NULL;
}

static void nothing_stays_with_the_dead(void **state) {
    (void)state;
    unsigned before = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, work_and_end, &before), 0);
    (void)pthread_join(thread, NULL);
    assert_true(before > 0);
    assert_int_equal(ended->state, HEAP_FREE);
    assert_int_equal(cached_blocks(ended), 0);
}

static void at_destructor(void *value) {
    (void)value;
    heap_at_destructor = heap_self != heap_of_nobody();
}

static void *work_with_destructor(void *argument) {
    fill_bins();
    (void)pthread_setspecific(*(pthread_key_t *)argument, argument);
    return NULL;
}

// The destructors of the first round find bins,
// whether they come before the heap's own or after it.
static void bins_while_others_end(void **state) {
    (void)state;
    pthread_t thread;
    pthread_key_t key;
    assert_int_equal(pthread_key_create(&key, at_destructor), 0);
    assert_int_equal(pthread_create(&thread, NULL, work_with_destructor, &key), 0);
    (void)pthread_join(thread, NULL);
    assert_true(heap_at_destructor);
}

// Who only allocates gives back what it is asked for when it finds a bin empty.
static void asked_while_it_allocates(void **state) {
    (void)state;
    fill_bins();
    unsigned class = sizeclass_of(16);
    assert_true(bin_count(heap_self, class) > 0);
    idle_ask(heap_self);
    void *block = lucid_malloc(20000);
    assert_non_null(block);
    assert_int_equal(bin_count(heap_self, class), 0);
    lucid_free(block);
}

#ifndef __SANITIZE_THREAD__ // under which vfork is fork

static struct {
    pthread_barrier_t barrier;
    struct heap *volatile other; // a thread's that lives
    void *volatile block;
    volatile bool asked, has_heap, has_helper;
} guest;

static void *live_with_heap(void *argument) {
    fill_bins();
    guest.other = heap_self;
    (void)pthread_barrier_wait(&guest.barrier);
    (void)pthread_barrier_wait(&guest.barrier);
    return argument;
}

static void *make_guest(void *argument) {
    pid_t pid = vfork();
    if (pid == 0) {
        guest.block = lucid_malloc(100);
        guest.has_heap = heap_self != heap_of_nobody();
        guest.has_helper = helper_call();
        guest.asked = true;
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    lucid_free(guest.block);
    lucid_free(lucid_malloc(100));
    assert_int_equal(heap_self->tid, os_thread_id());
    return argument;
}

// The child of a vfork cannot tell which of its parent's threads live, and whatever it starts ends
// with it.
static void guests_make_nothing_of_their_own(void **state) {
    (void)state;
    pthread_t threads[2];
    helper_pause(); // one that is there already would be its parent's
    helper_resume();
    (void)pthread_barrier_init(&guest.barrier, NULL, 2);
    assert_int_equal(pthread_create(&threads[0], NULL, live_with_heap, NULL), 0);
    (void)pthread_barrier_wait(&guest.barrier);
    uint32_t tid = guest.other->tid;
    assert_int_equal(pthread_create(&threads[1], NULL, make_guest, NULL), 0);
    (void)pthread_join(threads[1], NULL);
    assert_true(guest.asked && guest.block != NULL);
    assert_false(guest.has_heap);
    assert_false(guest.has_helper);
    assert_int_equal(guest.other->tid, tid);
    (void)pthread_barrier_wait(&guest.barrier);
    (void)pthread_join(threads[0], NULL);
}

// One that was killed where it could not be told is not waited for.
static void a_killed_helper_is_replaced(void **state) {
    (void)state;
    helper_pause();
    helper_resume();
    struct giving *giving = &root.live.giving;
    for (uint32_t phase = HELPER_WORKS; phase <= HELPER_WANTED; phase++) {
        uint64_t starts = giving->starts;
        atomic_store(&giving->phase, phase);
        if (helper_call()) {
            assert_int_equal(giving->starts, starts + 1);
        }
        helper_pause();
        helper_resume();
    }
}

#endif

#define SCATTERED 2200u // of them fill the largest bin for such blocks, and two halves of it again
#define APART 32u       // two of them in a word of free bits

// The most blocks that the bin holds while the last of many scattered ones are freed.
static unsigned most_scattered_kept(void) {
    static void *blocks[SCATTERED * APART];
    for (unsigned i = 0; i < SCATTERED * APART; i++) {
        blocks[i] = lucid_malloc(64);
        assert_non_null(blocks[i]);
    }
    for (unsigned i = 0; i < SCATTERED * APART; i++) {
        if (i % APART != 0) {
            lucid_free(blocks[i]);
        }
    }
    bin_check_all(heap_self, "test");
    unsigned most = 0;
    for (unsigned i = 0; i < SCATTERED; i++) {
        lucid_free(blocks[(size_t)i * APART]);
        unsigned kept = i > SCATTERED - 100 ? bin_count(heap_self, sizeclass_of(64)) : 0;
        most = kept > most ? kept : most;
    }
    return most;
}

// A bin that has given scattered blocks back once in vain keeps few:
// each may be the last of its span.
static void few_scattered_blocks_stay(void **state) {
    (void)state;
    assert_in_range(most_scattered_kept(), 1, BIN_SLOTS_IDLE);
}

// Where much is used, a page for each matters less than that each flush costs something.
static void more_scattered_blocks_stay_in_a_large_heap(void **state) {
    (void)state;
    void *large[64];
    for (unsigned i = 0; i < 64; i++) {
        large[i] = lucid_malloc((size_t)1 << 20);
        assert_non_null(large[i]);
    }
    assert_true(most_scattered_kept() > BIN_SLOTS_IDLE);
    for (unsigned i = 0; i < 64; i++) {
        lucid_free(large[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_stays_with_the_dead),
        cmocka_unit_test(bins_while_others_end),
        cmocka_unit_test(asked_while_it_allocates),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(guests_make_nothing_of_their_own),
        cmocka_unit_test(a_killed_helper_is_replaced),
#endif
        cmocka_unit_test(few_scattered_blocks_stay),
        cmocka_unit_test(more_scattered_blocks_stay_in_a_large_heap),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
