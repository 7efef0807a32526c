// Forks of a process whose threads use the program's own heaps at every moment. Each child finds
// what it knew, verifies every invariant, and goes on with the heaps it inherited.
//   regions [FORKS [THREADS]]
#include "invariants.h"
#include "testing.h"

#include <lucid.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define OWN 200u

struct kept {
    void *block;
    size_t size;
};

static _Atomic bool stop;
static lucid_heap *shared; // by all threads
static lucid_heap *mine;   // by the one that forks
static struct kept own[OWN];

static void verify(const struct kept *kept) {
    REQUIRE(kept->block == NULL || test_filled(kept->block, kept->block, kept->size, kept->size),
            "contents of %p, %zu bytes", kept->block, kept->size);
}

static void replace(struct kept *kept, lucid_heap *heap, uint64_t *state) {
    verify(kept);
    lucid_free(kept->block);
    kept->size = test_size(state);
    kept->block = lucid_heap_alloc(heap, kept->size);
    REQUIRE(kept->block != NULL, "no %zu bytes", kept->size);
    test_fill(kept->block, kept->size);
}

static void *churn(void *argument) {
    uint64_t state = (uintptr_t)argument;
    struct kept parcels[OWN] = {{.block = NULL}};
    while (!stop) {
        lucid_heap *heap = lucid_heap_new("short"); // begins and ends all the time
        for (unsigned i = 0; i < 100; i++) {
            replace(&parcels[test_random(&state) % OWN], shared, &state);
            (void)lucid_heap_alloc(heap, test_size(&state));
        }
        (void)lucid_heap_alloc(heap, 500000); // a mapping
        lucid_heap_destroy(heap);
    }
    for (unsigned i = 0; i < OWN; i++) {
        verify(&parcels[i]);
        lucid_heap_free(shared, parcels[i].block);
    }
    return NULL;
}

static void child(uint64_t *state) {
    alarm(20); // a child that hangs is killed, and its status says so
    for (unsigned i = 0; i < 400; i++) {
        replace(&own[test_random(state) % OWN], i % 2 == 0 ? mine : shared, state);
    }
    for (unsigned i = 0; i < OWN; i++) {
        verify(&own[i]);
    }
    invariants_check(true);
    lucid_heap_free_all(shared); // what the other threads had in it goes, too
    lucid_heap_destroy(mine);
    invariants_check(true);
    lucid_heap *heap = lucid_heap_new("child");
    test_fill(lucid_heap_alloc(heap, 5000), 5000);
    test_fill(lucid_heap_alloc(shared, 5000), 5000);
    lucid_heap_destroy(heap);
    invariants_check(true);
}

int main(int count, char **values) {
    unsigned forks = count > 1 ? (unsigned)atoi(values[1]) : 200;
    unsigned threads = count > 2 ? (unsigned)atoi(values[2]) : 4;
    pthread_t churners[64];
    uint64_t state = test_seed();
    REQUIRE(threads <= 64, "at most 64 threads");
    REQUIRE(lucid_mallopt(M_MMAP_THRESHOLD, 300000) == 1, "the threshold can be set");
    shared = lucid_heap_new("shared");
    mine = lucid_heap_new("mine");
    for (unsigned i = 0; i < threads; i++) {
        REQUIRE(pthread_create(&churners[i], NULL, churn,
                               (void *)(uintptr_t)(test_random(&state) + 1u)) == 0,
                "thread %u", i);
    }
    for (unsigned i = 0; i < forks; i++) {
        for (unsigned j = 0; j < 50; j++) {
            replace(&own[test_random(&state) % OWN], mine, &state);
        }
        pid_t pid = fork();
        REQUIRE(pid >= 0, "fork %u", i);
        if (pid == 0) {
            child(&state);
            _exit(0);
        }
        int status = 0;
        REQUIRE(waitpid(pid, &status, 0) == pid, "the child is there");
        REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %#x",
                (unsigned)status);
    }
    stop = true;
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(churners[i], NULL);
    }
    lucid_heap_destroy(mine);
    lucid_heap_destroy(shared);
    invariants_check(false);
    printf("%u forks under %u threads that use heaps of their own: every child went on\n", forks,
           threads);
    return 0;
}
