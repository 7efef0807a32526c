// What the instruction budget is measured on. All calls of malloc (or aligned_alloc) are made by
// take() and all calls of free by give(), so that callgrind's cost of what these two call is the
// cost of the allocator.
// Arguments: CASE TIMES
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BURST = 1600 };

static void *block[BURST];
static size_t alignment; // 0: malloc's

__attribute__((noinline)) void *take(size_t size);
__attribute__((noinline)) void give(void *p);

void *take(size_t size) {
    return alignment == 0 ? malloc(size) : aligned_alloc(alignment, size);
}

void give(void *p) {
    free(p);
}

// One block is taken and given back, again and again.
static void play_pair(size_t size, long times) {
    for (long i = 0; i < times; i++) {
        give(take(size));
    }
}

// 1600 blocks of one size are taken; half of them go oldest first, the rest newest first.
static void play_burst(size_t size, long times) {
    for (long i = 0; i < times / BURST; i++) {
        for (int k = 0; k < BURST; k++) {
            block[k] = take(size);
        }
        for (int k = 0; k < BURST / 2; k++) {
            give(block[k]);
        }
        for (int k = BURST; k-- > BURST / 2;) {
            give(block[k]);
        }
    }
}

static void *idle(void *nothing) {
    return nothing;
}

// Some allocators do without atomic operations until the first thread starts.
static int start_thread(void) {
    pthread_t thread;
    return pthread_create(&thread, NULL, idle, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

int main(int argc, char **argv) {
    char *end = NULL;
    long times = argc == 3 ? strtol(argv[2], &end, 10) : 0;
    if (times <= 0 || *end != '\0') {
        fprintf(stderr,
                "usage: %s pair-16|pair-64|pair-1024|pair-aligned|burst-64|threads-64"
                "|threads-burst-64 TIMES\n",
                argv[0]);
        return 64;
    }
    if (strncmp(argv[1], "threads-", 8) == 0 && !start_thread()) {
        fprintf(stderr, "%s: no thread could be started\n", argv[0]);
        return 2;
    }
    if (strcmp(argv[1], "pair-16") == 0) {
        play_pair(16, times);
    } else if (strcmp(argv[1], "pair-64") == 0 || strcmp(argv[1], "threads-64") == 0) {
        play_pair(64, times);
    } else if (strcmp(argv[1], "pair-1024") == 0) {
        play_pair(1024, times);
    } else if (strcmp(argv[1], "pair-aligned") == 0) {
        alignment = 64;
        play_pair(300, times);
    } else if (strcmp(argv[1], "burst-64") == 0 || strcmp(argv[1], "threads-burst-64") == 0) {
        play_burst(64, times);
    } else {
        fprintf(stderr, "%s: there is no case '%s'\n", argv[0], argv[1]);
        return 64;
    }
    return 0;
}
