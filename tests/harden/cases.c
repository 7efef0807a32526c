// One misuse, or one correct use, per case: cases NAME. Prints what the test looks at.
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// The C library has none.
extern void free_sized(void *block, size_t size) __attribute__((weak));

// Ten times the quarantine: a block leaves it at random, but it has left after so many.
enum { MANY = 100000 };

static char *volatile block; // volatile: the compiler must not see what is done to it
static char *volatile other;

// The bytes around a block are random; a write that happens to leave one as it was is no damage.
// Only a zero may be written as it is: none of the bytes right behind a block is zero.
static void damage(char *byte) {
    *byte ^= 'x';
}

static void damage_behind(size_t size, size_t at) {
    block = malloc(size);
    memset(block, 'a', size);
    damage(block + at);
    free(block);
}

static void zero_behind(size_t size) {
    block = malloc(size);
    memset(block, 'a', size);
    block[size] = 0;
    free(block);
}

static void write_one_behind(void) {
    damage_behind(24, 24);
}

static void write_zero_behind(void) {
    zero_behind(24);
}

// 20 bytes lie in a block with room for more; the byte behind them is not theirs.
static void write_into_slack(void) {
    zero_behind(20);
}

static void write_canary_end(void) {
    damage_behind(24, 31);
}

static void overflow_seen_by_realloc(void) {
    block = malloc(40);
    damage(block + 40);
    block = realloc(block, 400);
}

static void overflow_after_shrinking(void) {
    block = malloc(30);
    block = realloc(block, 26);
    block[26] = 0;
    free(block);
}

static void churn(size_t size) {
    for (int i = 0; i < MANY; i++) {
        free(malloc(size));
    }
}

// In a class of 112 bytes, so that the class alone does not tell.
static void one_too_small(void) {
    free_sized(malloc(100), 99);
}

static void one_too_large(void) {
    free_sized(malloc(100), 101);
}

static void write_after_free(void) {
    block = malloc(100);
    free(block);
    block[50] = 0;
    churn(100);
}

// The block is not issued again: it is found when it leaves the quarantine.
static void write_after_free_evicted(void) {
    block = malloc(100);
    free(block);
    block[99] = 0;
    churn(1000);
}

// Into the word that the default build keeps its mark in, and a byte that looks harmless.
static void write_after_free_first(void) {
    block = malloc(100);
    free(block);
    block[8] ^= 1;
    churn(100);
}

static void double_free(void) {
    block = malloc(100);
    free(block);
    free(block);
}

static void double_free_overwritten(void) {
    block = malloc(100);
    free(block);
    memset(block, 0, 100);
    free(block);
}

static void double_free_later(void) {
    block = malloc(100);
    free(block);
    for (int i = 0; i < 50; i++) {
        other = malloc(100);
        free(other);
    }
    free(block);
}

static void interior(void) {
    block = malloc(100);
    free(block + 16);
}

static void large_overflow(void) {
    block = malloc(100000);
    damage(block + 100000); // a multiple of 16, so the block ends where the fence begins
    free(block);
}

static void large_overflow_within_the_page(void) {
    block = malloc(99999);
    damage(block + 99999);
    free(block);
}

static void large_overflow_fault(void) {
    block = malloc(100000);
    block[100000 + 16] = 1;
}

static void large_underflow(void) {
    block = malloc(100000);
    damage(block - 1);
    free(block);
}

static void large_underflow_fault(void) {
    other = malloc(100000);
    block = malloc(100000);
    block[-4096] = 1;
}

static void large_use_after_free(void) {
    block = malloc(100000);
    free(block);
    printf("%d\n", block[10]);
}

static void large_double_free(void) {
    block = malloc(100000);
    free(block);
    free(block);
}

static void usable(void) {
    static const size_t sizes[] = {1, 8, 20, 24, 100, 511, 512, 513, 1000, 32760, 32768, 100000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        block = malloc(sizes[i]);
        size_t size = malloc_usable_size(block);
        memset(block, 'u', size);
        printf("%zu ", size - sizes[i]);
        free(block);
    }
    printf("\n");
}

static void wiped(void) {
    block = malloc(200);
    memset(block, 's', 200);
    free(block);
    int left = 0;
    for (int i = 0; i < 200; i++) {
        left += block[i] == 's';
    }
    printf("%d\n", left);
}

// How many of the blocks freed just now come back within as many allocations.
static void reuse(void) {
    static char *first[64];
    int again = 0;
    for (int i = 0; i < 64; i++) {
        first[i] = malloc(64);
    }
    for (int i = 0; i < 64; i++) {
        free(first[i]);
    }
    for (int i = 0; i < 64; i++) {
        other = malloc(64);
        for (int k = 0; k < 64; k++) {
            again += first[k] == other;
        }
    }
    printf("%d\n", again);
}

// Where in their unit of 16 KiB the first blocks lie, in the order they are issued.
static void placement(void) {
    for (int i = 0; i < 12; i++) {
        block = malloc(40);
        printf("%d ", (int)((uintptr_t)block % 16384));
    }
    printf("\n");
}

// How many pages of freed blocks are still there: pages that another class could get as they are.
static void isolation(void) {
    static char *blocks[3000];
    for (int i = 0; i < 3000; i++) {
        blocks[i] = malloc(1000);
        memset(blocks[i], 'm', 1000);
    }
    for (int i = 0; i < 3000; i++) {
        free(blocks[i]);
    }
    int resident = 0;
    for (int i = 0; i < 3000; i++) {
        unsigned char there = 0;
        char *page = blocks[i] - (uintptr_t)blocks[i] % 4096;
        resident += mincore(page, 4096, &there) == 0 && (there & 1);
    }
    printf("%d\n", resident);
}

static int filled(const char *p, size_t size, char value) {
    for (size_t i = 0; i < size; i++) {
        if (p[i] != value) {
            return 0;
        }
    }
    return 1;
}

// The whole family on every kind of size; contents kept, zeros zero, alignment as asked.
static void family(void) {
    for (size_t size = 0; size < 200000; size = size * 9 / 8 + 1) {
        char *p = calloc(1, size);
        int good = filled(p, size, 0);
        if (size > 0) {
            memset(p, 'f', size);
            p = realloc(p, size * 2 + 1);
            good &= filled(p, size, 'f');
            p = realloc(p, size / 2 + 1);
            good &= filled(p, size / 2, 'f');
        }
        free(p);
        for (size_t alignment = 16; alignment <= 1 << 20; alignment *= 4) {
            p = memalign(alignment, size);
            good &= (uintptr_t)p % alignment == 0 && malloc_usable_size(p) >= size;
            memset(p, 'g', size);
            free(p);
        }
        if (!good) {
            printf("size %zu\n", size);
        }
    }
    printf("done\n");
}

static void *free_it(void *p) {
    free(p);
    return NULL;
}

static void free_elsewhere_twice(void) {
    pthread_t thread;
    block = malloc(100);
    pthread_create(&thread, NULL, free_it, block);
    pthread_join(thread, NULL);
    free(block);
}

static void in_use(void) {
    static void *kept[100]; // a number cannot fall below what is in use
    for (int i = 0; i < 100; i++) {
        kept[i] = malloc(1000);
    }
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < 1000; i++) {
        free(realloc(malloc(100), 104)); // where it is
    }
    printf("%ld\n", (long)mallinfo2().uordblks - (long)before.uordblks);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"write_one_behind", write_one_behind},
    {"write_zero_behind", write_zero_behind},
    {"write_into_slack", write_into_slack},
    {"write_canary_end", write_canary_end},
    {"overflow_seen_by_realloc", overflow_seen_by_realloc},
    {"one_too_small", one_too_small},
    {"one_too_large", one_too_large},
    {"overflow_after_shrinking", overflow_after_shrinking},
    {"write_after_free", write_after_free},
    {"write_after_free_evicted", write_after_free_evicted},
    {"write_after_free_first", write_after_free_first},
    {"double_free", double_free},
    {"double_free_overwritten", double_free_overwritten},
    {"double_free_later", double_free_later},
    {"interior", interior},
    {"large_overflow", large_overflow},
    {"large_overflow_within_the_page", large_overflow_within_the_page},
    {"large_overflow_fault", large_overflow_fault},
    {"large_underflow", large_underflow},
    {"large_underflow_fault", large_underflow_fault},
    {"large_use_after_free", large_use_after_free},
    {"large_double_free", large_double_free},
    {"usable", usable},
    {"wiped", wiped},
    {"reuse", reuse},
    {"placement", placement},
    {"isolation", isolation},
    {"family", family},
    {"free_elsewhere_twice", free_elsewhere_twice},
    {"in_use", in_use},
};

int main(int argc, char **argv) {
    for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    fprintf(stderr, "usage: cases NAME\n");
    return 64;
}
