// Another library's fork handlers wait for a thread that allocates. An allocator that held a lock
// of its own meanwhile would stand still here.
//   others FORKS
#include "testing.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>

static sem_t wanted;
static sem_t done;
static int rounds;

// Blocks of every kind, so that each of the allocator's locks is needed.
static void use_the_heap(void) {
    void *blocks[300];
    for (unsigned i = 0; i < 300; i++) {
        blocks[i] = malloc(i * i);
        REQUIRE(blocks[i] != NULL, "block %u", i);
    }
    for (unsigned i = 0; i < 300; i++) {
        free(blocks[i]);
    }
    char *huge = malloc((size_t)40 << 20);
    REQUIRE(huge != NULL, "a mapping");
    free(huge);
}

static void *serve(void *argument) {
    for (;;) {
        (void)sem_wait(&wanted);
        use_the_heap();
        (void)sem_post(&done);
    }
    return argument;
}

static void wait_for_the_thread(void) {
    (void)sem_post(&wanted);
    (void)sem_wait(&done);
    use_the_heap();
    rounds++;
}

int main(int count, char **values) {
    int forks = count > 1 ? atoi(values[1]) : 100;
    alarm(250);
    (void)sem_init(&wanted, 0, 0);
    (void)sem_init(&done, 0, 0);
    // Handlers that are registered before the allocator knows of threads, and after.
    (void)pthread_atfork(wait_for_the_thread, wait_for_the_thread, use_the_heap);
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, serve, NULL) == 0, "a thread");
    wait_for_the_thread();
    (void)pthread_atfork(wait_for_the_thread, wait_for_the_thread, use_the_heap);
    for (int i = 0; i < forks; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            use_the_heap();
            _exit(0);
        }
        int status = 0;
        REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "fork %d: %#x", i,
                (unsigned)status);
    }
    printf("%d forks, handlers waited %d times\n", forks, rounds);
    return 0;
}
