// Which zeroed blocks are put there at once: those that would cost two faults for each page, up to a
// size that is larger in a process with threads.
#include "large.h"

#include "helper.h"
#include "init.h"
#include "root.h"
#include "testing.h"
#include "unit.h"

#include <pthread.h>

static pthread_barrier_t barrier;

static int begin(void **state) {
    (void)state;
    if (!init_ready()) {
        return -1;
    }
    helper_pause();
    return 0;
}

// Is a clean zeroed block of that size there? They stay, so that the next is clean too.
static bool is_put_there(size_t size) {
    void *block = large_new(size, BLOCK_ALIGN, true, NULL);
    assert_non_null(block);
    return run_at(unit_of((uintptr_t)block))->dirty != 0;
}

static void *wait_for_end(void *argument) {
    (void)pthread_barrier_wait(&barrier);
    return argument;
}

static void threads_have_more_put_there(void **state) {
    (void)state;
    bool put_there = is_put_there(POPULATE_ZEROED_MAX);
    if (root.live.populate_refused != 0) {
        skip(); // this kernel cannot
    }
    assert_true(put_there);
    assert_int_equal(is_put_there(POPULATE_ZEROED_THREADS_MAX), !os_single_threaded());
    pthread_t thread;
    (void)pthread_barrier_init(&barrier, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_end, NULL), 0);
    assert_true(is_put_there(POPULATE_ZEROED_THREADS_MAX));
    assert_false(is_put_there(POPULATE_ZEROED_THREADS_MAX + UNIT_SIZE));
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_join(thread, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_have_more_put_there),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
