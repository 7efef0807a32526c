// Who may change the heap with plain instructions: a thread that nothing can interrupt.
#include "root.h"

#include "init.h"
#include "unit.h"

#include <pthread.h>

static int begin(void **state) {
    (void)state;
    return init_ready() ? 0 : -1;
}

static void alone_without_helper_and_asker(void **state) {
    (void)state;
    if (!os_single_threaded()) {
        skip(); // a C library that does not tell, or a sanitizer with a thread of its own
    }
    uint32_t asked = atomic_exchange(&root.live.request.state, (uint32_t)REQUEST_CLOSED);
    uint32_t helper = atomic_exchange(&root.live.giving.tid, 0);
    assert_true(alone_now());
    atomic_store(&root.live.giving.tid, 1); // the C library does not know of the helper
    assert_false(alone_now());
    atomic_store(&root.live.giving.tid, 0);
    atomic_store(&root.live.request.state, REQUEST_OPEN); // a signal may start one
    assert_false(alone_now());
    atomic_store(&root.live.request.state, asked);
    atomic_store(&root.live.giving.tid, helper);
}

static void *look(void *argument) {
    *(bool *)argument = alone_now();
    return NULL;
}

static void not_alone_with_threads(void **state) {
    (void)state;
    bool alone = true;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look, &alone), 0);
    (void)pthread_join(thread, NULL);
    assert_false(alone);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_without_helper_and_asker),
        cmocka_unit_test(not_alone_with_threads),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
