// A program that allocates a lot, frees most of it, and then never calls the allocator again.
// Prints how much memory is resident for how much that lives, at once and after a pause; `floor` is
// what the pages take on which something lives.
//
// usage: burst KIND MIB KEEP_PERCENT THREADS [PAUSE_MS [ROUNDS [wait|trim]]]
// trim: calls malloc_trim before the pause.
// wait: says how much is resident once more after a line has come on the standard input.
// KIND: small (16 to 512 bytes), mixed (to 32 KiB), large (100 KiB to 8 MiB), random (small, freed
// in random order). What is kept lies in rows of neighbours, but for random.
#include "programs.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE ((size_t)4096)

struct worker {
    pthread_t thread;
    void **blocks; // from mmap: the bookkeeping must not be part of what is measured
    size_t *sizes;
    size_t count;
    size_t live;
    size_t live_pages;
    uint64_t seed;
};

static const char *kind;
static size_t bytes_each;
static unsigned keep_percent;
static unsigned rounds = 1;
static pthread_barrier_t done;

static size_t pick_size(uint64_t *seed) {
    if (strcmp(kind, "mixed") == 0) {
        return (size_t)16 << next(seed) % 12;
    }
    if (strcmp(kind, "large") == 0) {
        return 100000 + next(seed) % (8u << 20);
    }
    return 16 + next(seed) % 497;
}

static void *room(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("burst: mmap");
        exit(2);
    }
    return memory;
}

static void shuffle(struct worker *worker) {
    for (size_t i = worker->count; i > 1; i--) {
        size_t j = next(&worker->seed) % i;
        void *block = worker->blocks[i - 1];
        size_t size = worker->sizes[i - 1];
        worker->blocks[i - 1] = worker->blocks[j];
        worker->sizes[i - 1] = worker->sizes[j];
        worker->blocks[j] = block;
        worker->sizes[j] = size;
    }
}

static void allocate(struct worker *worker, size_t most) {
    for (size_t sum = 0; sum < bytes_each && worker->count < most; worker->count++) {
        size_t size = pick_size(&worker->seed);
        void *block = malloc(size);
        if (block == NULL) {
            fputs("burst: no memory\n", stderr);
            exit(2);
        }
        memset(block, 1, size);
        worker->blocks[worker->count] = block;
        worker->sizes[worker->count] = size;
        sum += size;
    }
}

// Keeps rows of neighbours, so that the pages between them are free.
static int keeps(size_t index) {
    size_t row = strcmp(kind, "large") == 0 ? 1 : strcmp(kind, "mixed") == 0 ? 64 : 1024;
    return index / row % 100 < keep_percent;
}

static void mark_pages(unsigned char *pages, uintptr_t from, size_t length) {
    for (uintptr_t page = from / PAGE; page <= (from + length - 1) / PAGE; page++) {
        pages[page / 8] |= (unsigned char)(1 << page % 8);
    }
}

// How many pages have a part of a block that lives. Other threads' blocks may lie there too.
static size_t count_pages(const struct worker *worker, size_t kept) {
    uintptr_t least = UINTPTR_MAX;
    uintptr_t most = 0;
    for (size_t i = 0; i < kept; i++) {
        uintptr_t block = (uintptr_t)worker->blocks[i];
        least = block < least ? block : least;
        most = block + worker->sizes[i] > most ? block + worker->sizes[i] : most;
    }
    if (kept == 0) {
        return 0;
    }
    least &= ~(uintptr_t)(PAGE * 8 - 1);
    size_t room_for = (most - least) / PAGE / 8 + 2;
    unsigned char *pages = room(room_for);
    for (size_t i = 0; i < kept; i++) {
        mark_pages(pages, (uintptr_t)worker->blocks[i] - least, worker->sizes[i]);
    }
    size_t count = 0;
    for (size_t i = 0; i < room_for; i++) {
        count += (size_t)__builtin_popcount(pages[i]);
    }
    munmap(pages, room_for);
    return count;
}

static size_t free_most(struct worker *worker, int last_round) {
    size_t kept = 0;
    for (size_t i = 0; i < worker->count; i++) {
        if (last_round && keeps(i)) {
            worker->live += worker->sizes[i];
            worker->blocks[kept] = worker->blocks[i];
            worker->sizes[kept++] = worker->sizes[i];
        } else {
            free(worker->blocks[i]);
        }
    }
    return kept;
}

static void work(struct worker *worker) {
    size_t most = bytes_each / (strcmp(kind, "large") == 0 ? 100000 : 16) + 1;
    worker->blocks = room(most * sizeof(void *));
    worker->sizes = room(most * sizeof(size_t));
    for (unsigned round = 0; round < rounds; round++) {
        worker->count = 0;
        allocate(worker, most);
        if (strcmp(kind, "random") == 0) {
            shuffle(worker);
        }
        worker->live_pages = count_pages(worker, free_most(worker, round == rounds - 1));
    }
    munmap(worker->blocks, most * sizeof(void *));
    munmap(worker->sizes, most * sizeof(size_t));
}

static void *work_and_sleep(void *argument) {
    work(argument);
    pthread_barrier_wait(&done);
    pause(); // idle threads keep their caches
    return NULL;
}

static uint64_t resident(void) {
    char text[128] = "";
    int file = open("/proc/self/statm", O_RDONLY);
    ssize_t got = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
    close(file);
    uint64_t pages = 0;
    if (got <= 0 || sscanf(text, "%*u %" SCNu64, &pages) != 1) {
        fputs("burst: cannot read /proc/self/statm\n", stderr);
        exit(2);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fputs("usage: burst KIND MIB KEEP_PERCENT THREADS [PAUSE_MS [ROUNDS [wait|trim]]]\n",
              stderr);
        return 64;
    }
    kind = argv[1];
    unsigned threads = (unsigned)atoi(argv[4]);
    bytes_each = ((size_t)atol(argv[2]) << 20) / (threads > 0 ? threads : 1);
    keep_percent = (unsigned)atoi(argv[3]);
    unsigned pause_ms = argc > 5 ? (unsigned)atoi(argv[5]) : 2000;
    rounds = argc > 6 ? (unsigned)atoi(argv[6]) : 1;
    struct worker *workers = room((threads + 1) * sizeof(*workers));
    free(malloc(1)); // the allocator's own start is not part of the burst
    uint64_t before = resident();
    pthread_barrier_init(&done, NULL, threads + 1);
    for (unsigned i = 0; i < threads; i++) {
        workers[i].seed = i + 1;
        if (pthread_create(&workers[i].thread, NULL, work_and_sleep, &workers[i]) != 0) {
            perror("burst: pthread_create");
            return 2;
        }
    }
    if (threads == 0) {
        workers[0].seed = 1;
        work(&workers[0]);
    } else {
        pthread_barrier_wait(&done);
    }
    uint64_t live = workers[0].live;
    uint64_t pages = workers[0].live_pages;
    for (unsigned i = 1; i < threads; i++) {
        live += workers[i].live;
        pages += workers[i].live_pages;
    }
    uint64_t at_once = resident();
    if (argc > 7 && strcmp(argv[7], "trim") == 0) {
        malloc_trim(0);
    }
    nap(pause_ms);
    uint64_t after = resident();
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("live %.2f floor %.2f before %.2f at_once %.2f after %.2f MiB faults %ld cpu %.3f s\n",
           (double)live / 1048576, (double)pages * PAGE / 1048576, (double)before / 1048576,
           (double)at_once / 1048576, (double)after / 1048576, usage.ru_minflt,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    if (argc > 7 && strcmp(argv[7], "wait") == 0) {
        char byte;
        fflush(stdout);
        if (read(STDIN_FILENO, &byte, 1) == 1) {
            printf("later %.2f MiB\n", (double)resident() / 1048576);
        }
    }
    return 0;
}
