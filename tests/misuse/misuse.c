// One small misuse of the heap for each name. Writes the pointer it is about to misuse to standard
// output, so that the report can be compared with it, and never reaches "survived" if all is well.
//   misuse NAME
#include "cases.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern void free_sized(void *block, size_t size);
extern void free_aligned_sized(void *block, size_t alignment, size_t size);

static void free_many_others(size_t size) {
    static void *others[4000];
    for (unsigned i = 0; i < 4000; i++) {
        others[i] = have(size);
    }
    for (unsigned i = 0; i < 4000; i++) {
        free(others[i]);
    }
}

// ---- double frees -------------------------------------------------------------------------------

static void twice(size_t size) {
    void *block = announce(have(size));
    free(block);
    free(hide(block));
}

static void double_at_once(void) {
    twice(40);
}

static void double_smallest(void) {
    twice(0);
}

static void double_medium(void) {
    twice(20000);
}

static void double_large(void) {
    twice(500000);
}

static void double_mapping(void) {
    twice((size_t)100 << 20);
}

static void double_with_others_between(void) {
    void *block = have(40);
    void *other = have(40);
    announce(block);
    free(block);
    free(other);
    free(hide(block));
}

// The first free is in the bitmap by the time of the second.
static void double_after_many_others(void) {
    static void *others[4000];
    for (unsigned i = 0; i < 4000; i++) {
        others[i] = have(40);
    }
    void *block = announce(others[1]); // others[0] stays, and with it the span
    for (unsigned i = 1; i < 4000; i++) {
        free(others[i]);
    }
    free(hide(block));
}

// Its span has no block in use any more and its units are in the pool.
static void double_after_trim(void) {
    void *block = announce(have(3000));
    free(block);
    (void)malloc_trim(0);
    free(hide(block));
}

static void double_on_dead_thread(void) {
    void *block = announce(have(40));
    on_thread(free_it, block);
    free(hide(block));
}

static void double_on_second_thread(void) {
    void *block = announce(have(40));
    free(block);
    on_thread(free_it, hide(block));
}

static pthread_barrier_t barrier;

static void *free_and_wait(void *block) {
    free(block);
    (void)pthread_barrier_wait(&barrier);
    (void)pthread_barrier_wait(&barrier);
    return NULL;
}

// The block is in the bin of another thread that lives.
static void double_with_live_thread(void) {
    void *block = announce(have(40));
    pthread_t thread;
    (void)pthread_barrier_init(&barrier, NULL, 2);
    REQUIRE(pthread_create(&thread, NULL, free_and_wait, block) == 0, "a thread");
    (void)pthread_barrier_wait(&barrier);
    free(hide(block));
}

static void double_in_child(void) {
    void *block = announce(have(40));
    free(block);
    pid_t pid = fork();
    if (pid == 0) {
        free(hide(block));
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid, "the child");
    if (WIFSIGNALED(status)) {
        (void)raise(WTERMSIG(status)); // what happened to the child happens to us
    }
}

// A use after free has wiped the mark off: found when the bin is looked at.
static void double_of_overwritten(void) {
    void *block = announce(have(40));
    free(block);
    memset(hide(block), 'A', 40);
    free(hide(block));
}

static void double_of_overwritten_flushed(void) {
    void *block = announce(have(40));
    free(block);
    memset(hide(block), 'A', 40);
    free(hide(block));
    free_many_others(40);
}

// The first free has gone to the span when the second comes; with another thread there, bits are
// exchanged and not stored.
static void double_of_overwritten_in_company(void) {
    enum { COUNT = 6000 };
    static void *others[COUNT];
    pthread_t thread;
    (void)pthread_barrier_init(&barrier, NULL, 2);
    REQUIRE(pthread_create(&thread, NULL, free_and_wait, have(40)) == 0, "a thread");
    (void)pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < COUNT; i++) {
        others[i] = have(40);
    }
    void *block = announce(have(40));
    free(block);
    for (size_t i = 0; i < COUNT / 2; i++) {
        free(others[i]);
    }
    memset(hide(block), 'A', 40);
    free(hide(block));
    for (size_t i = COUNT / 2; i < COUNT; i++) {
        free(others[i]);
    }
}

// ---- pointers that are no blocks ----------------------------------------------------------------

static char global[64] __attribute__((aligned(16)));

static void free_global(void) {
    free(announce(global + 16));
}

static void free_stack(void) {
    char local[64] __attribute__((aligned(16))) = {0};
    free(announce(local));
}

static void free_code(void) {
    free(announce((void *)((uintptr_t)free_code & ~(uintptr_t)15)));
}

static void free_low(void) {
    free(announce((void *)16));
}

static void free_high(void) {
    free(announce((void *)(UINTPTR_MAX - 15)));
}

static void free_foreign_mapping(void) {
    void *mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(mapping != MAP_FAILED, "a mapping");
    free(announce(mapping));
}

static void free_foreign_break(void) {
    free(have(40)); // so that the arena is there, and the foreign piece lies inside it later
    char *foreign = sbrk(1 << 20);
    if (foreign == (void *)-1) {
        puts("this C library does not move the break");
        exit(SKIPPED);
    }
    static void *others[40]; // the arena steps over the foreign piece
    for (unsigned i = 0; i < 40; i++) {
        others[i] = have(1 << 20);
    }
    free(announce((void *)(((uintptr_t)foreign + 500000) & ~(uintptr_t)15)));
}

static void free_unaligned(void) {
    free(announce((char *)have(40) + 1));
}

static void free_half_aligned(void) {
    free(announce((char *)have(40) + 8));
}

static void free_interior_large(void) {
    free(announce((char *)have(500000) + 16));
}

static void free_interior_large_far(void) {
    free(announce((char *)have(500000) + 400000));
}

static void free_interior_mapping(void) {
    free(announce((char *)have((size_t)100 << 20) + 4096));
}

static void free_interior(void) {
    free(announce((char *)have(100) + 16));
}

static void free_interior_flushed(void) {
    free(announce((char *)have(100) + 16));
    free_many_others(100);
}

static void *free_interior_of(void *block) {
    free(have(100)); // a thread's first free looks closely; from now on there is a bin
    free((char *)block + 16);
    return NULL;
}

static void free_interior_on_thread(void) {
    char *block = have(100);
    announce(block + 16);
    on_thread(free_interior_of, block);
}

static void free_never_handed_out(void) {
    free(announce((char *)have(1024) + (size_t)1024 * 10));
}

static void free_beyond_top(void) {
    char *end = sbrk(0);
    free(announce(end - 64));
}

// ---- other functions ----------------------------------------------------------------------------

static void realloc_freed(void) {
    void *block = announce(have(40));
    free(block);
    block = realloc(hide(block), 80);
}

static void realloc_freed_large(void) {
    void *block = announce(have(500000));
    free(block);
    block = realloc(hide(block), 600000);
}

static void realloc_freed_mapping(void) {
    void *block = announce(have((size_t)100 << 20));
    free(block);
    block = realloc(hide(block), (size_t)200 << 20);
}

static void realloc_interior(void) {
    void *block = announce((char *)have(100) + 16);
    block = realloc(block, 200);
}

static void realloc_stack(void) {
    char local[64] __attribute__((aligned(16))) = {0};
    void *block = realloc(announce(local), 200);
    (void)hide(block);
}

static void realloc_to_nothing_freed(void) {
    void *block = announce(have(40));
    free(block);
    block = realloc(hide(block), 0);
}

static void usable_size_of_freed(void) {
    void *block = announce(have(40));
    free(block);
    (void)malloc_usable_size(hide(block));
}

static void usable_size_of_interior(void) {
    (void)malloc_usable_size(announce((char *)have(100) + 32));
}

static void usable_size_of_global(void) {
    (void)malloc_usable_size(announce(global));
}

static void sized_too_small(void) {
    free_sized(announce(have(1000)), 100);
}

static void sized_too_large(void) {
    free_sized(announce(have(100)), 1000);
}

static void sized_large(void) {
    free_sized(announce(have(500000)), 600000);
}

static void sized_freed(void) {
    void *block = announce(have(100));
    free(block);
    free_sized(hide(block), 100);
}

static void aligned_sized_wrong_alignment(void) {
    free_aligned_sized(announce(have(100)), (size_t)1 << 40, 100);
}

static void aligned_sized_wrong_size(void) {
    free_aligned_sized(announce(aligned_alloc(64, 128)), 64, 5000);
}

// ---- after the report ---------------------------------------------------------------------------

static void allocating_handler(int signal_number) {
    (void)signal_number;
    free(have(500));
    free(have(100000));
}

// The report must end the process although the program's handler allocates and returns.
static void handler_allocates(void) {
    (void)signal(SIGABRT, allocating_handler);
    twice(40);
}

static void leaving_handler(int signal_number) {
    _exit(signal_number);
}

// The helper has no stack for a handler: none runs there.
static void handler_not_on_the_helper(void) {
    static void *large[1000];
    (void)signal(SIGABRT, leaving_handler);
    for (unsigned i = 0; i < 1000; i++) {
        large[i] = memset(have(100000), 1, 100000);
    }
    for (size_t size = 16; size < 2000; size += 16) {
        free(have(size)); // enough for a look at the bins
    }
    free(announce((char *)have(64) + 16));
    for (unsigned i = 0; i < 1000; i++) {
        free(large[i]); // the helper comes, and looks at the bins of who sleeps
    }
    (void)sleep(20);
    puts("no helper looked");
    _exit(SKIPPED);
}

static void signal_is_blocked(void) {
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    twice(40);
}

static void *thread_blocks(void *argument) {
    (void)argument;
    signal_is_blocked();
    return NULL;
}

static void signal_is_blocked_on_thread(void) {
    on_thread(thread_blocks, NULL);
}

// Nothing is wrong here, and nothing must be said.
// A block in use that looks like a free one, because it holds the mark of free blocks.
static void mark_in_live_block(void) {
    uintptr_t *block = have(40);
    free(block);
    uintptr_t mark = ((volatile uintptr_t *)hide(block))[1];
    uintptr_t *other = have(200);
    other[1] = mark;
    announce(other);
    REQUIRE(malloc_usable_size(other) >= 200, "its size");
    other = realloc(other, 5000);
    REQUIRE(other != NULL && other[1] == mark, "its contents");
    free(other);
}

static void nothing_wrong(void) {
    announce(have(1));
    free_many_others(40);
    free_many_others(5000);
    free(NULL);
    free_sized(have(100), 100);
    free_sized(have(0), 0);
    free_aligned_sized(aligned_alloc(4096, 100), 4096, 100);
    free_aligned_sized(NULL, 64, 100);
    free_sized(NULL, 100);
    void *block = realloc(have(40), 70);
    free_sized(block, 70);
    on_thread(free_it, have(40));
}

static const struct misuse_case cases[] = {
    CASE(double_at_once),
    CASE(double_smallest),
    CASE(double_medium),
    CASE(double_large),
    CASE(double_mapping),
    CASE(double_with_others_between),
    CASE(double_after_many_others),
    CASE(double_after_trim),
    CASE(double_on_dead_thread),
    CASE(double_on_second_thread),
    CASE(double_with_live_thread),
    CASE(double_in_child),
    CASE(double_of_overwritten),
    CASE(double_of_overwritten_flushed),
    CASE(double_of_overwritten_in_company),
    CASE(free_global),
    CASE(free_stack),
    CASE(free_code),
    CASE(free_low),
    CASE(free_high),
    CASE(free_foreign_mapping),
    CASE(free_foreign_break),
    CASE(free_unaligned),
    CASE(free_half_aligned),
    CASE(free_interior_large),
    CASE(free_interior_large_far),
    CASE(free_interior_mapping),
    CASE(free_interior),
    CASE(free_interior_flushed),
    CASE(free_interior_on_thread),
    CASE(free_never_handed_out),
    CASE(free_beyond_top),
    CASE(realloc_freed),
    CASE(realloc_freed_large),
    CASE(realloc_freed_mapping),
    CASE(realloc_interior),
    CASE(realloc_stack),
    CASE(realloc_to_nothing_freed),
    CASE(usable_size_of_freed),
    CASE(usable_size_of_interior),
    CASE(usable_size_of_global),
    CASE(sized_too_small),
    CASE(sized_too_large),
    CASE(sized_large),
    CASE(sized_freed),
    CASE(aligned_sized_wrong_alignment),
    CASE(aligned_sized_wrong_size),
    CASE(handler_allocates),
    CASE(handler_not_on_the_helper),
    CASE(signal_is_blocked),
    CASE(signal_is_blocked_on_thread),
    CASE(mark_in_live_block),
    CASE(nothing_wrong),
    {NULL, NULL},
};

int main(int count, char **values) {
    const char *name = count == 2 ? values[1] : "that";
    // Some misuse is found only when the bins are looked at, after this.
    if (misuse_run(cases, name) || misuse_run(heap_cases, name)) {
        return 0;
    }
    (void)fprintf(stderr, "misuse: no case is called %s\n", name);
    return 64;
}
