// The program that the reader's tests look at. It prints one line of what it knows about itself
// ("ready" and pairs NAME=VALUE), then waits until its standard input ends.
//
//   subject demo              malloc(10), malloc(15), a freed block, a large one, a mapping
//   subject many COUNT SIZE   COUNT live blocks
//   subject busy THREADS MS   threads allocate, hand blocks on, verify their contents; for so long,
//                             or with MS = 0 until the standard input ends
//   subject fork              a demo in a child of fork, whose number it prints
//   subject heaps             two heaps of its own, one of them with blocks of all kinds
//   subject lone              one block of a heap of its own, none of malloc
//   subject giver             a second thread that has freed blocks and taken none
//   subject ends              starts threads that end at once, until its standard input ends
//   subject idle              allocates nothing by itself
//   subject damage WHAT       breaks one rule of lucid's heap from inside
//   subject loop              allocates and frees in one thread for ever, without a word
#include "layout.h"
#include "spanstate.h"

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void wait_for_end(void) {
    char byte;
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
}

// The compiler must not see that a block is given back without having been used.
static void *keep(void *block) {
    __asm__ volatile("" : : "r"(block) : "memory");
    return block;
}

static int demo(void) {
    char *a = keep(malloc(10));
    memset(a, 'A', 10);
    char *b = keep(malloc(15));
    memset(b, 'B', 15);
    char *freed = keep(malloc(3000));
    memset(freed, 'F', 3000);
    uintptr_t freed_address = (uintptr_t)freed;
    free(freed);
    char *large = keep(malloc(100000));
    memset(large, 'L', 100000);
    char *mapping = keep(malloc((size_t)64 << 20));
    mapping[0] = 'M';
    void **pointer = keep(malloc(200));
    pointer[3] = b;
    printf("ready pid=%d a=%p b=%p freed=0x%lx large=%p mapping=%p pointer=%p break=%p\n",
           (int)getpid(), (void *)a, (void *)b, freed_address, (void *)large, (void *)mapping,
           (void *)pointer, sbrk(0));
    wait_for_end();
    return a[0] == 'A' && b[14] == 'B' && pointer[3] == b ? 0 : 1;
}

static int many(size_t count, size_t size) {
    void **blocks = malloc(count * sizeof(*blocks));
    for (size_t i = 0; i < count; i++) {
        blocks[i] = malloc(size);
        if (blocks[i] == NULL) {
            return 1;
        }
        memset(blocks[i], (int)(i & 0xff), size < 8 ? size : 8);
    }
    printf("ready pid=%d count=%zu first=%p\n", (int)getpid(), count, blocks[0]);
    wait_for_end();
    return 0;
}

// ---- busy ---------------------------------------------------------------------------------------

#define SLOTS 4096u

static void *_Atomic shared[SLOTS];
static _Atomic bool stop;
static _Atomic unsigned long faults;

struct stamp {
    size_t size;
    unsigned char fill;
};

static void *stamped(size_t size, unsigned seed) {
    struct stamp stamp = {.size = size, .fill = (unsigned char)seed};
    unsigned char *block = malloc(size);
    if (block == NULL) {
        return NULL;
    }
    memset(block, stamp.fill, size);
    memcpy(block, &stamp, sizeof(stamp));
    return block;
}

static void release(unsigned char *block) {
    struct stamp stamp;
    if (block == NULL) {
        return;
    }
    memcpy(&stamp, block, sizeof(stamp));
    for (size_t i = sizeof(stamp); i < stamp.size; i++) {
        faults += block[i] != stamp.fill;
    }
    free(block);
}

static void *worker(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument * 7919u + 1;
    while (!stop) {
        unsigned slot = (unsigned)rand_r(&seed) % SLOTS;
        unsigned pick = (unsigned)rand_r(&seed) % 1000;
        size_t size = sizeof(struct stamp) + (unsigned)rand_r(&seed) % (pick < 900   ? 200
                                                                        : pick < 995 ? 8000
                                                                                     : 200000);
        release(atomic_exchange(&shared[slot], stamped(size, seed)));
    }
    return NULL;
}

static void *brief(void *argument) {
    void *blocks[64];
    for (unsigned i = 0; i < 64; i++) {
        blocks[i] = stamped(sizeof(struct stamp) + i * 10, (unsigned)(uintptr_t)argument);
    }
    for (unsigned i = 0; i < 64; i++) {
        release(blocks[i]);
    }
    return NULL;
}

static bool input_ended(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

static int busy(unsigned count, unsigned ms) {
    pthread_t threads[64];
    struct timespec pause = {.tv_nsec = 1000000};
    count = count < 64 ? count : 64;
    for (unsigned i = 0; i < count; i++) {
        pthread_create(&threads[i], NULL, worker, (void *)(uintptr_t)i);
    }
    printf("ready pid=%d threads=%u\n", (int)getpid(), count);
    fflush(stdout);
    for (unsigned i = 0; ms == 0 ? !input_ended() : i < ms; i++) {
        pthread_t short_lived;
        if (pthread_create(&short_lived, NULL, brief, (void *)(uintptr_t)i) == 0) {
            pthread_join(short_lived, NULL);
        }
        nanosleep(&pause, NULL);
    }
    stop = true;
    for (unsigned i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        release(shared[i]);
    }
    printf("done faults=%lu\n", (unsigned long)faults);
    return faults == 0 ? 0 : 1;
}

static int forked(void) {
    void *before = keep(malloc(50));
    pid_t child = fork();
    if (child == 0) {
        return demo();
    }
    wait_for_end();
    free(before);
    return 0;
}

// ---- heaps of its own ---------------------------------------------------------------------------

// The subject is not linked with lucid: it takes what it runs under.
static void *own(const char *name) {
    void *function = dlsym(RTLD_DEFAULT, name);
    if (function == NULL) {
        fprintf(stderr, "subject: there is no %s\n", name);
        exit(64);
    }
    return function;
}

static int heaps(void) {
    void *(*new_heap)(const char *) = (void *(*)(const char *))own("lucid_heap_new");
    void *(*take)(void *, size_t) = (void *(*)(void *, size_t))own("lucid_heap_alloc");
    void (*destroy)(void *) = (void (*)(void *))own("lucid_heap_destroy");
    void *ended = new_heap("ended");
    (void)keep(take(ended, 100));
    destroy(ended);
    void *parser = new_heap("parser");
    void *empty = new_heap("empty");
    char *block = NULL;
    for (unsigned i = 0; i < 1000; i++) {
        block = keep(take(parser, 100));
        memset(block, 'P', 100);
    }
    for (unsigned i = 0; i < 10; i++) {
        void *freed = keep(take(parser, 200));
        free(freed);
    }
    char *large = keep(take(parser, 100000));
    memset(large, 'L', 100000);
    char *mapping = keep(take(parser, (size_t)64 << 20));
    mapping[0] = 'M';
    printf("ready pid=%d parser=%p empty=%p block=%p large=%p mapping=%p\n", (int)getpid(), parser,
           empty, (void *)block, (void *)large, (void *)mapping);
    wait_for_end();
    destroy(parser);
    destroy(empty);
    return 0;
}

// ---- damage -------------------------------------------------------------------------------------

// Leaves a span as its maker does who stands still before its units have their entries.
static void leave_in_transit(struct lucid_root *root, const void *block) {
    uint32_t head = (uint32_t)(((uintptr_t)block - root->fixed.base) >> UNIT_SHIFT);
    head -= root->fixed.units[head].back;
    struct run *span = &root->fixed.runs[head];
    root->live.heaps->held[span->class] = 0;
    root->live.lanes[span->lane].lists[span->class].spans--;
    memset((void *)span->free, 0, sizeof(span->free));
    span->carved = 0;
    span->state = span_state(SPAN_HELD, root->fixed.classes[span->class].blocks);
    for (uint32_t i = 0; i < root->fixed.classes[span->class].units; i++) {
        root->fixed.units[head + i].bin = 0;
    }
}

static int damage(const char *what) {
    struct lucid_root *root = dlsym(RTLD_DEFAULT, "lucid_root");
    char *block = keep(malloc(24));
    char *other = keep(malloc(24));
    char *alone = keep(malloc(30000)); // of its class, and no other is in a bin
    free(keep(malloc(100)));
    setvbuf(stdout, NULL, _IONBF, 0); // what is damaged is not to be asked for a buffer
    if (root == NULL) {
        return 1;
    }
    uint32_t unit = (uint32_t)(((uintptr_t)block - root->fixed.base) >> UNIT_SHIFT);
    unit -= root->fixed.units[unit].back;
    struct run *span = &root->fixed.runs[unit];
    unsigned index =
        (unsigned)(((uintptr_t)block - root->fixed.base - ((uintptr_t)unit << UNIT_SHIFT)) /
                   root->fixed.classes[span->class].size);
    struct heap *heap = root->live.heaps;
    if (strcmp(what, "bit") == 0) {
        span->free[index / 64] |= (uint64_t)1 << index % 64; // free, but the count does not know
    } else if (strcmp(what, "count") == 0) {
        span->state -= 4;
        heap->held[span->class] = 0;
        span->state &= ~1u;
    } else if (strcmp(what, "twice") == 0) {
        *heap->bins[span->class].top++ = block;
        *heap->bins[span->class].top++ = block;
    } else if (strcmp(what, "interior") == 0) {
        *heap->bins[span->class].top++ = other + 8;
    } else if (strcmp(what, "unit") == 0) {
        root->fixed.units[unit].bin ^= 16;
    } else if (strcmp(what, "owner") == 0) {
        span->region = (struct lucid_region *)heap;
    } else if (strcmp(what, "tiling") == 0) {
        root->fixed.runs[unit].shape = 0;
    } else if (strcmp(what, "list") == 0) {
        root->live.lanes[0].lists[40].head = unit;
    } else if (strcmp(what, "top") == 0) {
        root->live.top = root->live.limit + 5;
    } else if (strcmp(what, "nothing") == 0) {
        leave_in_transit(root, alone);
    } else if (strcmp(what, "heaps") == 0) {
        root->live.heaps = (struct heap *)block;
    } else {
        return 1;
    }
    printf("ready pid=%d block=%p other=%p\n", (int)getpid(), (void *)block, (void *)other);
    wait_for_end();
    _exit(0);
}

static int say_ready_without_stdio(void) {
    if (write(STDOUT_FILENO, "ready\n", 6) == 6) {
        wait_for_end();
    }
    return 0;
}

static int lone(void) {
    void *(*new_heap)(const char *) = (void *(*)(const char *))own("lucid_heap_new");
    void *(*take)(void *, size_t) = (void *(*)(void *, size_t))own("lucid_heap_alloc");
    (void)keep(take(new_heap("lone"), 100));
    return say_ready_without_stdio();
}

static void *free_both(void *blocks) {
    free(((void **)blocks)[0]); // goes back at once: the thread has no bins yet
    free(((void **)blocks)[1]);
    (void)say_ready_without_stdio();
    return NULL;
}

static int giver(void) {
    void *blocks[] = {keep(malloc(100)), keep(malloc(100))};
    pthread_t thread;
    if (pthread_create(&thread, NULL, free_both, blocks) != 0) {
        return 1;
    }
    return pthread_join(thread, NULL);
}

static void *start_brief_ones(void *unused) {
    while (!stop) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, brief, NULL) == 0) {
            (void)pthread_join(thread, NULL);
        }
    }
    return unused;
}

static int ends(void) {
    pthread_t starters[2];
    for (unsigned i = 0; i < 2; i++) {
        if (pthread_create(&starters[i], NULL, start_brief_ones, NULL) != 0) {
            return 1;
        }
    }
    (void)say_ready_without_stdio();
    stop = true;
    return pthread_join(starters[0], NULL) + pthread_join(starters[1], NULL);
}

static _Noreturn void loop(void) {
    for (unsigned i = 0;; i++) {
        keep(memset(malloc(16 + i % 4000), 1, 16));
        free(keep(malloc(i % 70000)));
        if (i % 64 == 0) {
            usleep(10);
        }
    }
}

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "demo") == 0) {
        return demo();
    }
    if (strcmp(mode, "many") == 0 && argc == 4) {
        return many(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    }
    if (strcmp(mode, "busy") == 0 && argc == 4) {
        return busy((unsigned)strtoul(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10));
    }
    if (strcmp(mode, "fork") == 0) {
        return forked();
    }
    if (strcmp(mode, "damage") == 0 && argc == 3) {
        return damage(argv[2]);
    }
    if (strcmp(mode, "heaps") == 0) {
        return heaps();
    }
    if (strcmp(mode, "loop") == 0) {
        loop();
    }
    if (strcmp(mode, "lone") == 0) {
        return lone();
    }
    if (strcmp(mode, "giver") == 0) {
        return giver();
    }
    if (strcmp(mode, "ends") == 0) {
        return ends();
    }
    if (strcmp(mode, "idle") == 0) {
        return say_ready_without_stdio();
    }
    fprintf(stderr, "subject: unknown mode %s\n", mode);
    return 64;
}
