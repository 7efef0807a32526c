// A program for lucid ctl to talk to. It prints "ready" and facts about itself, does what its case
// says until its standard input ends, and exits with 0 if all of its blocks kept their contents.
//
// usage: ctl_subject CASE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE ((size_t)1 << 20)
#define LARGES 48
#define SMALLS 40000
#define SLOTS 4000

static volatile sig_atomic_t handled;
static atomic_bool over;
static pthread_barrier_t all_there;
static pthread_barrier_t all_freed;

static void count(int number) {
    (void)number;
    handled++;
}

static void die(const char *what) {
    perror(what);
    exit(2);
}

// Dirty free runs, and free pages between used blocks.
static void leave_free_memory(void) {
    static void *larges[LARGES];
    static void *smalls[SMALLS];
    for (int i = 0; i < LARGES; i++) {
        larges[i] = malloc(LARGE);
        memset(larges[i], 1, LARGE);
    }
    for (int i = 0; i < SMALLS; i++) {
        smalls[i] = malloc(1000);
        memset(smalls[i], 2, 1000);
    }
    for (int i = 0; i < LARGES; i++) {
        free(larges[i]);
    }
    for (int i = 0; i < SMALLS; i++) {
        if (i % 50 != 0) {
            free(smalls[i]);
        }
    }
}

static void wait_for_end(void) {
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    if (errno == EINTR) {
        die("read was interrupted");
    }
}

static unsigned next(unsigned *seed) {
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 8;
}

// Random replacement of blocks whose contents are known.
static void *work(void *argument) {
    unsigned seed = *(unsigned *)argument;
    static _Thread_local unsigned char *blocks[SLOTS];
    static _Thread_local size_t sizes[SLOTS];
    while (!atomic_load(&over)) {
        unsigned slot = next(&seed) % SLOTS;
        for (size_t i = 0; blocks[slot] != NULL && i < sizes[slot]; i += 15) {
            if (blocks[slot][i] != (unsigned char)slot) {
                fputs("a block has other contents\n", stderr);
                _exit(3);
            }
        }
        free(blocks[slot]);
        sizes[slot] = next(&seed) % 600 + (next(&seed) % 500 == 0 ? 100000 : 16);
        blocks[slot] = malloc(sizes[slot]);
        memset(blocks[slot], (int)slot, sizes[slot]);
    }
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        free(blocks[slot]);
    }
    return NULL;
}

static void *wait_in_thread(void *argument) {
    (void)argument;
    wait_for_end();
    atomic_store(&over, true);
    return NULL;
}

static void work_in_threads(int count_of_threads) {
    pthread_t threads[8];
    static unsigned seeds[8];
    for (int i = 0; i < count_of_threads; i++) {
        seeds[i] = (unsigned)i + 1;
        if (pthread_create(&threads[i], NULL, work, &seeds[i]) != 0) {
            die("pthread_create");
        }
    }
    (void)wait_in_thread(NULL);
    for (int i = 0; i < count_of_threads; i++) {
        pthread_join(threads[i], NULL);
    }
}

// The only thread works and looks for the end of its input now and then.
static void work_alone(void) {
    unsigned seed = 7;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    while (poll(&input, 1, 0) == 0 || errno == EINTR) {
        errno = 0;
        static void *blocks[SLOTS];
        for (int i = 0; i < 20000; i++) {
            unsigned slot = next(&seed) % SLOTS;
            unsigned char *block = blocks[slot];
            if (block != NULL && block[0] != (unsigned char)slot) {
                fputs("a block has other contents\n", stderr);
                _exit(3);
            }
            free(block);
            blocks[slot] = block = malloc(next(&seed) % 600 + 16);
            block[0] = (unsigned char)slot;
        }
        for (unsigned slot = 0; slot < SLOTS; slot++) {
            free(blocks[slot]);
            blocks[slot] = NULL;
        }
    }
}

// Frees small blocks in random order, so that each that stays in a bin keeps a span, and sleeps.
static void *free_and_sleep(void *argument) {
    static _Thread_local void *blocks[64000];
    unsigned seed = *(unsigned *)argument;
    for (int i = 0; i < 64000; i++) {
        size_t size = next(&seed) % 480 + 16;
        blocks[i] = malloc(size);
        memset(blocks[i], 1, size);
    }
    pthread_barrier_wait(&all_there); // or one would use what another has freed
    for (int i = 63999; i >= 0; i--) {
        int other = (int)(next(&seed) % ((unsigned)i + 1));
        free(blocks[other]);
        blocks[other] = blocks[i];
    }
    pthread_barrier_wait(&all_freed);
    return wait_in_thread(NULL);
}

static void sleep_in_threads(void) {
    static unsigned seeds[4] = {1, 2, 3, 4};
    pthread_t thread;
    pthread_barrier_init(&all_there, NULL, 4);
    pthread_barrier_init(&all_freed, NULL, 5);
    for (int i = 0; i < 4; i++) {
        if (pthread_create(&thread, NULL, free_and_sleep, &seeds[i]) != 0) {
            die("pthread_create");
        }
    }
    pthread_barrier_wait(&all_freed);
}

static void set_handler(void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    if (sigaction(SIGURG, &action, NULL) != 0) {
        die("sigaction");
    }
}

static void block_all(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

// The child allocates when its parent's input ends, and says so.
static int fork_and_wait(void) {
    int pipes[2];
    leave_free_memory();
    if (pipe(pipes) != 0) {
        die("pipe");
    }
    pid_t child = fork();
    if (child == 0) {
        close(pipes[1]);
        char byte;
        if (read(pipes[0], &byte, 1) != 1) {
            _exit(4);
        }
        void *volatile block = malloc(100000); // a slow path that makes no room for itself
        free(block);
        if (write(1, "woken\n", 6) != 6) {
            _exit(4);
        }
        wait_for_end();
        _exit(0);
    }
    printf("ready child=%d\n", (int)child);
    fflush(stdout);
    char byte;
    if (read(0, &byte, 1) != 1 || write(pipes[1], "x", 1) != 1) {
        return 4;
    }
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 5;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "earlier") == 0) {
        set_handler(count); // before the first allocation of a program that has no earlier one
    }
    if (strcmp(name, "child") == 0) {
        return fork_and_wait();
    }
    if (strcmp(name, "sleepers") == 0) {
        sleep_in_threads();
    } else if (strcmp(name, "untouched") != 0) {
        leave_free_memory();
    }
    if (strcmp(name, "own") == 0) {
        set_handler(count);
    } else if (strcmp(name, "ignored") == 0) {
        set_handler(SIG_IGN);
    } else if (strcmp(name, "blocked") == 0) {
        block_all();
    }
    if (write(1, "ready\n", 6) != 6) {
        die("write");
    }
    if (strcmp(name, "alone") == 0) {
        work_alone();
    } else if (strcmp(name, "threads") == 0) {
        work_in_threads(3);
    } else {
        wait_for_end();
    }
    printf("handled=%d\n", (int)handled);
    return 0;
}
