// Byways on which memory comes to be free: no bin overflows, no large block is freed. Then the
// program never calls the allocator again. Prints MiB resident before, at once, and after a pause.
//
// usage: byways KIND PAUSE_MS [trim]
// KIND: shrink (realloc makes large blocks smaller), bins (48 threads whose bins hold all that they
// freed), wide (the same with blocks of 1 to 32 KiB), child (the child of a fork inherits what is
// free, and makes few calls)
// trim: calls malloc_trim before the pause.
#include "programs.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define THREADS 48
#define BLOCKS_MOST 4000

static pthread_barrier_t done;
static int wide;

static void *filled(size_t size) {
    void *block = malloc(size);
    if (block == NULL) {
        fputs("byways: no memory\n", stderr);
        exit(2);
    }
    return memset(block, 1, size);
}

static void shrink(void) {
    static void *blocks[100];
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = filled(2 * MIB);
    }
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = realloc(blocks[i], 40000);
    }
}

static void use(size_t size, size_t count) {
    void *blocks[BLOCKS_MOST];
    for (size_t i = 0; i < count; i++) {
        blocks[i] = filled(size);
    }
    for (size_t i = 0; i < count; i++) {
        free(blocks[i]);
    }
}

static void *fill_bins(void *unused) {
    for (size_t size = 64; !wide && size <= 1024; size += 48) {
        use(size, 60000 / size);
    }
    for (size_t size = 1024; wide && size <= 32768; size += size / 4) {
        use(size, 15000 / size + 1);
    }
    (void)pthread_barrier_wait(&done);
    for (;;) {
        (void)pause();
    }
    return unused;
}

static void bins(void) {
    (void)pthread_barrier_init(&done, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, fill_bins, NULL) != 0) {
            fputs("byways: no thread\n", stderr);
            exit(2);
        }
    }
    (void)pthread_barrier_wait(&done);
}

// Returns in the child only.
static void child(void) {
    enum { COUNT = 400000 };
    void **blocks = filled(COUNT * sizeof(void *));
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = filled(400);
    }
    for (size_t i = 0; i < COUNT; i++) {
        free(blocks[i]);
    }
    free(blocks);
    pid_t pid = fork();
    if (pid != 0) {
        int status = 0;
        (void)waitpid(pid, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
    }
    for (size_t i = 0; i < 1000; i++) {
        void *volatile block = malloc(i); // else the compiler leaves both calls out
        free(block);
    }
}

int main(int argc, char **argv) {
    const char *kind = argc > 2 ? argv[1] : "";
    double before = resident_mib();
    wide = strcmp(kind, "wide") == 0;
    if (strcmp(kind, "shrink") == 0) {
        shrink();
    } else if (strcmp(kind, "bins") == 0 || wide) {
        bins();
    } else if (strcmp(kind, "child") == 0) {
        child();
    } else {
        fputs("usage: byways shrink|bins|wide|child PAUSE_MS [trim]\n", stderr);
        return 2;
    }
    double at_once = resident_mib();
    if (argc > 3 && strcmp(argv[3], "trim") == 0) {
        (void)malloc_trim(0);
    }
    long pause_ms = atol(argv[2]);
    nap((unsigned)pause_ms);
    (void)printf("before %.2f at_once %.2f after %.2f\n", before, at_once, resident_mib());
    (void)fflush(stdout);
    _exit(0);
}
