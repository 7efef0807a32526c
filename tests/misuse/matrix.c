// Every function that takes a pointer, with every kind of pointer that is no live block: each call
// ends its process through the one report, and the report names the function and the pointer. What
// docs/security.md says is found later only may be named by the process's end instead.
#include "cases.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern void free_sized(void *block, size_t size);
extern void free_aligned_sized(void *block, size_t alignment, size_t size);
extern void _ZdlPv(void *block);
extern void _ZdaPv(void *block);
extern void _ZdlPvm(void *block, size_t size);
extern void _ZdaPvm(void *block, size_t size);
extern void _ZdlPvSt11align_val_t(void *block, size_t alignment);
extern void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);
extern void _ZdlPvRKSt9nothrow_t(void *block, const void *tag);

#define MIB ((size_t)1 << 20)

// ---- pointers -----------------------------------------------------------------------------------

enum found {
    AT_ONCE,    // by every function
    LATER,      // free may take it, and the process's end finds it; the others see it at once
    OVERWRITTEN // free may take it, and the others believe it
};

// A pointer that is no live block, and the size that a sized function is given with it.
struct wrong {
    const char *name;
    void *(*make)(void);
    size_t size;
    enum found found;
};

static void *freed_small(void) {
    return free_it(have(40));
}

static void *freed_zero_size(void) {
    return free_it(have(0));
}

static void *freed_zeroed(void) {
    return free_it(calloc(1, 40));
}

static void *freed_medium(void) {
    return free_it(have(20000));
}

static void *freed_large(void) {
    return free_it(have(500000));
}

static void *freed_mapping(void) {
    return free_it(have(100 * MIB));
}

static void *freed_aligned(void) {
    return free_it(aligned_alloc(256, 512));
}

static void *freed_before_others(void) {
    static void *others[4000];
    for (unsigned i = 0; i < 4000; i++) {
        others[i] = have(40);
    }
    for (unsigned i = 1; i < 4000; i++) {
        free(others[i]);
    }
    return hide(others[1]);
}

static void *freed_by_ended_thread(void) {
    return on_thread(free_it, have(40));
}

static void *allocated_by_ended_thread_of(void *place) {
    *(void **)place = have(40);
    return NULL;
}

static void *freed_of_ended_thread(void) {
    void *block = NULL;
    on_thread(allocated_by_ended_thread_of, &block);
    return free_it(block);
}

static pthread_barrier_t barrier;

static void *free_and_stay(void *block) {
    free(block);
    (void)pthread_barrier_wait(&barrier);
    (void)pause();
    return NULL;
}

static void *freed_by_living_thread(void) {
    void *block = have(40);
    pthread_t thread;
    (void)pthread_barrier_init(&barrier, NULL, 2);
    REQUIRE(pthread_create(&thread, NULL, free_and_stay, block) == 0, "a thread");
    (void)pthread_barrier_wait(&barrier);
    return hide(block);
}

static void *freed_by_realloc(void) {
    void *block = have(40);
    void *end = realloc(block, 0);
    REQUIRE(end == NULL, "realloc to nothing");
    return hide(block);
}

static void *moved_by_realloc(void) {
    char *block = have(40);
    REQUIRE(realloc(block, 4000) != block, "realloc moves");
    return hide(block);
}

static void *moved_mapping(void) {
    char *block = have(100 * MIB);
    char *behind = mmap(block + 101 * MIB, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(behind != MAP_FAILED, "a mapping");
    char *moved = realloc(block, 900 * MIB);
    return moved == block ? free_it(moved) : hide(block);
}

static void *freed_whole_span(void) {
    void *block = free_it(have(3000));
    (void)malloc_trim(0);
    return hide(block);
}

// The write after the free wipes the mark off.
static void *freed_and_overwritten(void) {
    void *block = free_it(have(40));
    memset(hide(block), 'A', 40);
    return hide(block);
}

// All blocks of a page are free and the page went back to the kernel, and the mark with it.
static void *freed_and_page_gone(void) {
    static char *blocks[200];
    for (unsigned i = 0; i < 200; i++) {
        blocks[i] = have(256);
    }
    for (unsigned i = 1; i < 199; i++) {
        free(blocks[i]);
    }
    (void)malloc_trim(0);
    char *block = hide(blocks[100]);
    REQUIRE(((uint64_t *)block)[1] == 0, "the page is new");
    return block;
}

static void *interior_small(void) {
    return have(100) + 16;
}

static void *interior_medium(void) {
    return have(20000) + 4096;
}

static void *interior_large(void) {
    return have(500000) + 16;
}

static void *interior_large_far(void) {
    return have(500000) + 400000;
}

static void *interior_mapping(void) {
    return have(100 * MIB) + 4096;
}

static void *end_of_large(void) {
    char *block = have(500000);
    return block + malloc_usable_size(block);
}

static void *unaligned_small(void) {
    return have(100) + 1;
}

static void *half_aligned_small(void) {
    return have(100) + 8;
}

static void *unaligned_large(void) {
    return have(500000) + 3;
}

static void *unaligned_mapping(void) {
    return have(100 * MIB) + 8;
}

static void *never_handed_out(void) {
    return have(1024) + (size_t)1024 * 10;
}

static void *on_stack(void) {
    free(have(40));
    return (void *)((uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)15);
}

static char global[64] __attribute__((aligned(16)));

static void *in_data(void) {
    return global + 16;
}

static void *in_code(void) {
    return (void *)((uintptr_t)in_code & ~(uintptr_t)15);
}

static void *low(void) {
    return (void *)16;
}

static void *high(void) {
    return (void *)(UINTPTR_MAX - 15);
}

static void *not_canonical(void) {
    free(have(40));
    return (void *)((uintptr_t)1 << 62);
}

static void *foreign_mapping(void) {
    void *mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(mapping != MAP_FAILED, "a mapping");
    return mapping;
}

static void *beyond_the_top(void) {
    free(have(40));
    return (char *)sbrk(0) - 64;
}

static void *beyond_the_break(void) {
    free(have(40));
    return (void *)(((uintptr_t)sbrk(0) + 4096) & ~(uintptr_t)4095);
}

#define WRONG(name, size, found) \
    { #name, name, size, found }

static const struct wrong wrongs[] = {
    WRONG(freed_small, 40, AT_ONCE),
    WRONG(freed_zero_size, 1, AT_ONCE),
    WRONG(freed_zeroed, 40, AT_ONCE),
    WRONG(freed_medium, 20000, AT_ONCE),
    WRONG(freed_large, 500000, AT_ONCE),
    WRONG(freed_mapping, 100 * MIB, AT_ONCE),
    WRONG(freed_aligned, 512, AT_ONCE),
    WRONG(freed_before_others, 40, AT_ONCE),
    WRONG(freed_by_ended_thread, 40, AT_ONCE),
    WRONG(freed_of_ended_thread, 40, AT_ONCE),
    WRONG(freed_by_living_thread, 40, AT_ONCE),
    WRONG(freed_by_realloc, 40, AT_ONCE),
    WRONG(moved_by_realloc, 40, AT_ONCE),
    WRONG(moved_mapping, 100 * MIB, AT_ONCE),
    WRONG(freed_whole_span, 3000, AT_ONCE),
    WRONG(freed_and_overwritten, 40, OVERWRITTEN),
    WRONG(freed_and_page_gone, 256, LATER),
    WRONG(interior_small, 100, LATER),
    WRONG(interior_medium, 20000, LATER),
    WRONG(interior_large, 500000, AT_ONCE),
    WRONG(interior_large_far, 500000, AT_ONCE),
    WRONG(interior_mapping, 100 * MIB, AT_ONCE),
    WRONG(end_of_large, 500000, AT_ONCE),
    WRONG(unaligned_small, 100, AT_ONCE),
    WRONG(half_aligned_small, 100, AT_ONCE),
    WRONG(unaligned_large, 500000, AT_ONCE),
    WRONG(unaligned_mapping, 100 * MIB, AT_ONCE),
    WRONG(never_handed_out, 1024, LATER),
    WRONG(on_stack, 40, AT_ONCE),
    WRONG(in_data, 40, AT_ONCE),
    WRONG(in_code, 40, AT_ONCE),
    WRONG(low, 40, AT_ONCE),
    WRONG(high, 40, AT_ONCE),
    WRONG(not_canonical, 40, AT_ONCE),
    WRONG(foreign_mapping, 4096, AT_ONCE),
    WRONG(beyond_the_top, 40, AT_ONCE),
#ifdef __GLIBC__ // elsewhere the arena may begin right there
    WRONG(beyond_the_break, 40, AT_ONCE),
#endif
};

// ---- functions ----------------------------------------------------------------------------------

static void use_realloc(void *pointer, size_t size) {
    (void)hide(realloc(pointer, size + 10000));
}

static void use_realloc_same(void *pointer, size_t size) {
    (void)hide(realloc(pointer, size));
}

static void use_realloc_to_nothing(void *pointer, size_t size) {
    (void)size;
    (void)hide(realloc(pointer, 0));
}

static void use_reallocarray(void *pointer, size_t size) {
    (void)hide(reallocarray(pointer, size, 2));
}

static void use_usable_size(void *pointer, size_t size) {
    (void)size;
    (void)malloc_usable_size(pointer);
}

static void use_free(void *pointer, size_t size) {
    (void)size;
    free(pointer);
}

static void use_free_aligned_sized(void *pointer, size_t size) {
    free_aligned_sized(pointer, 16, size);
}

static void use_delete(void *pointer, size_t size) {
    (void)size;
    _ZdlPv(pointer);
}

static void use_delete_array(void *pointer, size_t size) {
    (void)size;
    _ZdaPv(pointer);
}

static void use_aligned_delete(void *pointer, size_t size) {
    (void)size;
    _ZdlPvSt11align_val_t(pointer, 32);
}

static void use_sized_aligned_delete(void *pointer, size_t size) {
    _ZdaPvmSt11align_val_t(pointer, size, 32);
}

static void use_nothrow_delete(void *pointer, size_t size) {
    (void)size;
    _ZdlPvRKSt9nothrow_t(pointer, NULL);
}

static const struct function {
    const char *name; // in the report
    void (*use)(void *pointer, size_t size);
    bool exact; // looks closely at once, whatever the pointer
} functions[] = {
    {"free", use_free, false},
    {"realloc", use_realloc, true},
    {"realloc", use_realloc_same, true},
    {"realloc", use_realloc_to_nothing, false},
    {"realloc", use_reallocarray, true},
    {"malloc_usable_size", use_usable_size, true},
    {"free_sized", free_sized, true},
    {"free_aligned_sized", use_free_aligned_sized, true},
    {"operator delete", use_delete, false},
    {"operator delete[]", use_delete_array, false},
    {"operator delete", _ZdlPvm, false},
    {"operator delete[]", _ZdaPvm, false},
    {"operator delete", use_aligned_delete, true},
    {"operator delete[]", use_sized_aligned_delete, true},
    {"operator delete", use_nothrow_delete, false},
};

// ---- one of each --------------------------------------------------------------------------------

#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))
#define WRONGS (sizeof(wrongs) / sizeof(wrongs[0]))

static void **pointer_of_child; // shared with the child

static _Noreturn void be_child(const struct function *function, const struct wrong *wrong,
                               int out) {
    REQUIRE(dup2(out, STDERR_FILENO) == STDERR_FILENO, "standard error");
    alarm(60);
    *pointer_of_child = wrong->make();
    function->use(*pointer_of_child, wrong->size);
    exit(0);
}

static void require_report(const struct function *function, const struct wrong *wrong, pid_t pid,
                           const char *text) {
    char expected[100];
    (void)snprintf(expected, sizeof(expected), "misuse_matrix(%d) lucid: %s(): ", pid,
                   function->name);
    bool named = strncmp(text, expected, strlen(expected)) == 0;
    if (!named && wrong->found != AT_ONCE && !function->exact) {
        (void)snprintf(expected, sizeof(expected), "misuse_matrix(%d) lucid: exit(): ", pid);
        named = strncmp(text, expected, strlen(expected)) == 0;
    }
    char address[40];
    (void)snprintf(address, sizeof(address), " 0x%zx (", (size_t)*pointer_of_child);
    const char *end = strchr(text, '\n');
    REQUIRE(named && strstr(text, address) != NULL && end != NULL && end[1] == 0,
            "%s of %s, pointer %p, is reported as '%s'", function->name, wrong->name,
            *pointer_of_child, text);
}

static void try_one(const struct function *function, const struct wrong *wrong) {
    int ends[2];
    REQUIRE(pipe(ends) == 0, "a pipe");
    pid_t pid = fork();
    REQUIRE(pid >= 0, "a process");
    if (pid == 0) {
        be_child(function, wrong, ends[1]);
    }
    (void)close(ends[1]);
    char text[600] = {0};
    size_t length = 0;
    ssize_t got = 0;
    while (length < sizeof(text) - 1 &&
           (got = read(ends[0], text + length, sizeof(text) - 1 - length)) > 0) {
        length += (size_t)got;
    }
    (void)close(ends[0]);
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid, "its end");
    REQUIRE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
            "%s of %s, pointer %p, ends with status %#x and says '%s'", function->name, wrong->name,
            *pointer_of_child, (unsigned)status, text);
    require_report(function, wrong, pid, text);
}

int main(void) {
    pointer_of_child = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pointer_of_child != MAP_FAILED, "shared memory");
    unsigned tried = 0;
    for (size_t i = 0; i < FUNCTIONS; i++) {
        for (size_t j = 0; j < WRONGS; j++) {
            if (wrongs[j].found != OVERWRITTEN || !functions[i].exact) {
                try_one(&functions[i], &wrongs[j]);
                tried++;
            }
        }
    }
    printf("%zu functions, %zu kinds of pointer: %u reports\n", FUNCTIONS, WRONGS, tried);
    return 0;
}
