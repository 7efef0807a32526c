// Forks from a process whose threads never stop allocating. Each child verifies what it inherited,
// every invariant of its heap, and goes on with threads of its own.
//   storm [FORKS [THREADS [fork|_Fork|threads-first]]]
#include "invariants.h"
#include "testing.h"

#include <lucid.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define OWN 300u
#define BOX 64u
#define MAPPINGS 150u

struct kept {
    void *block;
    size_t size;
};

static _Atomic bool stop;
static struct kept own[OWN];
static _Atomic(void *) box[BOX]; // blocks that change hands between the threads

static _Atomic(void *) mappings[MAPPINGS];

static void check_kept(const struct kept *kept) {
    REQUIRE(kept->block == NULL || test_filled(kept->block, kept->block, kept->size, kept->size),
            "contents of %p, %zu bytes", kept->block, kept->size);
}

static void replace(struct kept *kept, uint64_t *state) {
    check_kept(kept);
    lucid_free(kept->block);
    kept->size = test_size(state);
    kept->block = lucid_malloc(kept->size);
    REQUIRE(kept->block != NULL, "no %zu bytes", kept->size);
    test_fill(kept->block, kept->size);
}

static void churn_box(uint64_t *state) {
    void *block = lucid_malloc(test_size(state) % 3000);
    lucid_free(atomic_exchange(&box[test_random(state) % BOX], block));
}

static void *churn(void *argument) {
    uint64_t state = (uintptr_t)argument;
    struct kept mine[OWN] = {{.block = NULL}};
    while (!stop) {
        struct kept *kept = &mine[test_random(&state) % OWN];
        if (test_random(&state) % 64 == 0 && kept->block != NULL) {
            size_t size = 40000 + test_random(&state) % 400000;
            void *moved = lucid_realloc(kept->block, size);
            REQUIRE(moved != NULL, "no %zu bytes", size);
            *kept = (struct kept){.block = moved, .size = size};
            test_fill(moved, size);
        } else if (test_random(&state) % 16 == 0) { // mappings, whose table grows and shrinks
            void *mapping = lucid_malloc(((size_t)33 << 20) + test_random(&state) % 4096);
            lucid_free(atomic_exchange(&mappings[test_random(&state) % MAPPINGS], mapping));
        } else if (test_random(&state) % 4096 == 0) {
            (void)lucid_malloc_trim(0);
        } else {
            replace(kept, &state);
        }
        churn_box(&state);
    }
    for (unsigned i = 0; i < OWN; i++) {
        check_kept(&mine[i]);
        lucid_free(mine[i].block);
    }
    return NULL;
}

static void *work_a_little(void *argument) {
    uint64_t state = (uintptr_t)argument;
    struct kept mine[20] = {{.block = NULL}};
    for (unsigned i = 0; i < 500; i++) {
        replace(&mine[test_random(&state) % 20], &state);
    }
    for (unsigned i = 0; i < 20; i++) {
        check_kept(&mine[i]);
        lucid_free(mine[i].block);
    }
    return NULL;
}

static void two_threads(uint64_t *state) {
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, work_a_little,
                               (void *)(uintptr_t)(test_random(state) + 1u)) == 0,
                "a thread in the child");
    }
    for (unsigned i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}

// What the child does first matters: its first slow path rebuilds, on whichever thread it comes.
static void child(uint64_t *state, bool with_threads, bool threads_first) {
    alarm(20); // a child that hangs is killed, and its status says so
    if (with_threads && threads_first) {
        two_threads(state);
    }
    for (unsigned i = 0; i < 400; i++) {
        replace(&own[test_random(state) % OWN], state);
    }
    if (with_threads && !threads_first) {
        two_threads(state);
    }
    for (unsigned i = 0; i < OWN; i++) {
        check_kept(&own[i]);
        lucid_free(own[i].block);
    }
    invariants_check(true);
}

static void require_clean_exit(pid_t pid) {
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid, "the child is there");
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %#x",
            (unsigned)status);
}

int main(int count, char **values) {
    unsigned forks = count > 1 ? (unsigned)atoi(values[1]) : 300;
    unsigned threads = count > 2 ? (unsigned)atoi(values[2]) : 4;
    const char *how = count > 3 ? values[3] : "fork";
    bool bare = strcmp(how, "_Fork") == 0;
    bool threads_first = strcmp(how, "threads-first") == 0;
    uint64_t state = test_seed();
    pthread_t *churners = calloc(threads, sizeof(*churners));
    REQUIRE(churners != NULL, "no memory");
    for (unsigned i = 0; i < threads; i++) {
        REQUIRE(pthread_create(&churners[i], NULL, churn,
                               (void *)(uintptr_t)(test_random(&state) + 1u)) == 0,
                "thread %u", i);
    }
    for (unsigned i = 0; i < forks; i++) {
        for (unsigned j = 0; j < 50; j++) {
            replace(&own[test_random(&state) % OWN], &state);
        }
        state += i;
        pid_t pid = bare ? _Fork() : fork();
        REQUIRE(pid >= 0, "fork %u", i);
        if (pid == 0) {
            child(&state, !bare && i % 4 == 0, threads_first);
            if (i % 2 == 0 && !bare) {
                exit(0);
            }
            _exit(0);
        }
        require_clean_exit(pid);
    }
    stop = true;
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(churners[i], NULL);
    }
    for (unsigned i = 0; i < BOX; i++) {
        lucid_free(atomic_exchange(&box[i], NULL));
    }
    for (unsigned i = 0; i < MAPPINGS; i++) {
        lucid_free(atomic_exchange(&mappings[i], NULL));
    }
    invariants_check(false);
    free(churners);
    printf("%u forks with %s under churn by %u threads: every child went on\n", forks, how,
           threads);
    return 0;
}
