// Locks under contention; what the system calls promise about errno and faults.
#include "os/os.h"
#include "testing.h"
#include "unit.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>

#define THREADS 6
#define ROUNDS 20000u

static _Atomic uint32_t lock;
static unsigned plain_counter; // only the lock keeps its increments apart
static _Atomic unsigned tried;

static void *count_up(void *argument) {
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i % 3 == 0) {
            while (!os_try_lock(&lock)) {
                (void)atomic_fetch_add(&tried, 1);
                (void)sched_yield();
            }
        } else {
            os_lock(&lock);
        }
        unsigned seen = plain_counter;
        if (i % 500 == 0) {
            (void)sched_yield(); // the others come to sleep on the lock
        }
        plain_counter = seen + 1;
        os_unlock(&lock);
    }
    return argument;
}

static void locks_exclude(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(plain_counter, THREADS * ROUNDS);
    assert_int_equal(lock, 0);
}

static void try_lock(void **state) {
    (void)state;
    _Atomic uint32_t word = 0;
    assert_true(os_try_lock(&word));
    assert_false(os_try_lock(&word));
    os_unlock(&word);
    assert_int_equal(word, 0);
}

// As the kernel shows it: S sleeps. 0: the thread is gone.
static char state_of_thread(int tid) {
    char path[64];
    char text[256] = {0};
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    FILE *file = fopen(path, "r");
    size_t length = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file != NULL) {
        (void)fclose(file);
    }
    const char *end = length > 0 ? strrchr(text, ')') : NULL;
    return end != NULL && end[1] == ' ' ? end[2] : 0;
}

static struct {
    _Atomic uint32_t lock;
    _Atomic int tid;
    atomic_bool woken;
} sleeper;

// Waits as os_lock does, but without its limit of time: only being woken ends this.
static void *sleep_on_lock(void *argument) {
    atomic_store(&sleeper.tid, (int)syscall(SYS_gettid));
    while (syscall(SYS_futex, &sleeper.lock, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0) != 0) {
    }
    atomic_store(&sleeper.woken, true);
    return argument;
}

static void unlock_wakes(void **state) {
    (void)state;
    pthread_t thread;
    uint64_t end = os_now_ms() + 60000;
    assert_int_equal(pthread_create(&thread, NULL, sleep_on_lock, NULL), 0);
    while (!atomic_load(&sleeper.woken)) {
        atomic_store(&sleeper.lock, 2); // held, and somebody sleeps
        while (!atomic_load(&sleeper.woken) && state_of_thread(atomic_load(&sleeper.tid)) != 'S') {
            (void)sched_yield();
        }
        os_unlock(&sleeper.lock);
        assert_true(os_now_ms() < end);
    }
    (void)pthread_join(thread, NULL);
}

static atomic_bool inside;

static void *lock_once(void *argument) {
    atomic_store(&sleeper.tid, (int)syscall(SYS_gettid));
    os_lock(&sleeper.lock);
    atomic_store(&inside, true);
    os_unlock(&sleeper.lock);
    return argument;
}

// Whoever is woken without the lock being free goes on waiting.
static void woken_too_early(void **state) {
    (void)state;
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 10000000};
    pthread_t thread;
    atomic_store(&sleeper.tid, 0);
    atomic_store(&sleeper.lock, 1);
    assert_int_equal(pthread_create(&thread, NULL, lock_once, NULL), 0);
    while (atomic_load(&sleeper.lock) != 2) {
        (void)sched_yield();
    }
    for (unsigned i = 0; i < 30; i++) {
        (void)syscall(SYS_futex, &sleeper.lock, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        (void)nanosleep(&pause, NULL);
        assert_false(atomic_load(&inside));
    }
    os_unlock(&sleeper.lock);
    (void)pthread_join(thread, NULL);
    assert_true(atomic_load(&inside));
}

static void memory_calls(void **state) {
    (void)state;
    size_t page = os_page_size();
    errno = 1789;
    char *reserved = os_reserve(16 * page);
    assert_non_null(reserved);
    assert_true(os_commit(reserved + page, 4 * page));
    memset(reserved + page, 0x44, 4 * page);
    assert_true(os_purge(reserved + page, 2 * page));
    assert_true(test_zero(reserved + page, 2 * page));
    assert_int_equal(reserved[3 * page], 0x44);
    assert_true(os_make_readonly(reserved + page, page));
    assert_true(os_make_inaccessible(reserved + page, page));
    assert_int_equal(os_map_at((uintptr_t)reserved, page), OS_OCCUPIED);
    assert_true(os_unmap(reserved, page));
    assert_int_equal(os_map_at((uintptr_t)reserved, page), OS_MAPPED);
    assert_true(os_unmap(reserved, 16 * page));
    char *map = os_map(4 * page);
    map[0] = 1;
    bool parts = true;
    map = os_remap(map, 4 * page, 4000 * page, &parts);
    assert_true(map != NULL && map[0] == 1 && map[3999 * page] == 0);
    assert_true(os_unmap(map, 4000 * page));
    assert_false(os_unmap(map, 0)); // the kernel refuses
    char *fenced = os_map_fenced(2 * page);
    assert_non_null(fenced);
    memset(fenced, 0x55, 2 * page);
    assert_true(os_make_readonly(fenced - page, page)); // only what is mapped can be made so
    assert_true(os_make_readonly(fenced + 2 * page, page));
    assert_true(os_unmap_fenced(fenced, 2 * page));
    assert_false(os_make_readonly(fenced - page, 4 * page));
    assert_null(os_map_fenced((size_t)1 << 60));
    assert_null(os_map((size_t)1 << 60));
    assert_null(os_reserve((size_t)1 << 60));
    assert_null(os_remap(map, page, (size_t)1 << 60, &parts));
    assert_false(parts);
    assert_int_equal(os_map_at(page, (size_t)1 << 62), OS_NO_MEMORY);
    assert_int_equal(errno, 1789); // not even the failures changed it
}

static void faults(void **state) {
    (void)state;
    if (!LUCID_CHECKED && !LUCID_STRESS) {
        skip();
    }
    size_t page = os_page_size();
    (void)os_inject(OS_MAP, 2, false);
    void *first = os_map(page);
    void *second = os_map(page);
    void *third = os_map(page);
    assert_true(first != NULL && second == NULL && third != NULL);
    (void)os_inject(OS_MAP, 1, true);
    assert_true(os_map(page) == NULL && os_map(page) == NULL);
    (void)os_inject(OS_MAP, 0, false);
    (void)os_inject(OS_COMMIT, 1, false);
    assert_null(os_map_fenced(page));
    assert_true(os_unmap(first, page) && os_unmap(third, page));
}

static void *set_on_end(void *argument) {
    return argument;
}

static void knows_the_process(void **state) {
    (void)state;
    assert_int_equal(os_process_id(), getpid());
    assert_int_equal(os_thread_id(), getpid());
    assert_int_equal(os_thread_id_noted(), os_thread_id());
    assert_false(os_is_guest());
    assert_true(os_thread_alive(os_thread_id()));
    assert_false(os_thread_alive(4194304)); // beyond the largest possible number
    assert_int_equal(os_thread_self(), (uint64_t)pthread_self());
    assert_string_equal(os_program_name(), "unit_os");
    (void)setenv("LUCID_TEST_VARIABLE", "a=b", 1);
    assert_string_equal(os_environment("LUCID_TEST_VARIABLE"), "a=b");
    assert_null(os_environment("LUCID_TEST"));
    assert_false(os_is_secure());
    assert_int_equal(os_random(0), os_random(0)); // of the process, not of the call
    assert_int_not_equal(os_random(0), os_random(1));
    uint64_t before = os_now_ms();
    assert_true(os_now_ms() >= before);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, set_on_end, NULL), 0);
    (void)pthread_join(thread, NULL);
}

#if !UNDER_TSAN // which has handlers of its own
// As the C library's when there are so many handlers that it needs memory, and there is none.
int pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
    (void)before, (void)parent, (void)child;
    errno = ENOMEM;
    return ENOMEM;
}
#endif

// It is called by the first free of a program with threads.
static void no_memory_for_fork_handlers(void **state) {
    (void)state;
    if (UNDER_TSAN) {
        skip();
    }
    errno = 1789;
    assert_false(os_on_fork(NULL, NULL, NULL));
    assert_int_equal(errno, 1789);
}

// The last line of /proc/self/maps is not the end of all addresses.
static void knows_no_module_beyond(void **state) {
    (void)state;
    struct os_module module;
    assert_true(os_find_module((uintptr_t)&knows_no_module_beyond, &module));
    assert_false(os_find_module(UINTPTR_MAX - 4096, &module));
    assert_false(os_find_module(16, &module));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locks_exclude),
        cmocka_unit_test(try_lock),
        cmocka_unit_test(unlock_wakes),
        cmocka_unit_test(woken_too_early),
        cmocka_unit_test(memory_calls),
        cmocka_unit_test(faults),
        cmocka_unit_test(knows_the_process),
        cmocka_unit_test(knows_no_module_beyond),
        cmocka_unit_test(no_memory_for_fork_handlers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
