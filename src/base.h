// Integers, alignment, bits, atomics and checks: what every other module may use.
// No state, no operating system, no allocation.
#ifndef LUCID_BASE_H
#define LUCID_BASE_H

#if !defined(__linux__) || !defined(__LP64__)
#error "lucid needs 64-bit Linux: it packs addresses and counts into words of 64 bits."
#elif !defined(__x86_64__) && !defined(__aarch64__) && !defined(LUCID_UNTESTED_MACHINE)
#error "lucid is tested on x86-64 and aarch64; -DLUCID_UNTESTED_MACHINE builds it elsewhere."
#endif

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GLIBC__) && __GLIBC__ == 2 && __GLIBC_MINOR__ < 33
#error "lucid needs glibc 2.33 or newer, or musl."
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define NOINLINE __attribute__((noinline))
#define COLD __attribute__((noinline, cold))
#define ALWAYS_INLINE static inline __attribute__((always_inline))

// For the functions with the fast paths: they begin on a line of the instruction cache. Where
// malloc's 52 bytes lay on two, a pair took 4 to 7% longer (docs/decisions/016).
#define ON_A_LINE __attribute__((aligned(64)))

#ifndef LUCID_CHECKED
#define LUCID_CHECKED 0 // 1: every transition verifies its invariants and panics by name
#endif
#ifndef LUCID_STRESS
#define LUCID_STRESS 0 // 1: tiny constants, so that rare paths become frequent ones
#endif
#ifndef LUCID_PAGE_SIZE
#define LUCID_PAGE_SIZE 0 // a page size to pretend (os/fakepage.h); 0: the machine's own
#endif
#ifndef LUCID_OVERRIDE
#define LUCID_OVERRIDE 1 // 0: only the lucid_ names exist (for builds under sanitizers)
#endif

// For functions that read, on purpose and without any order, what another thread is writing: the
// fast paths' plain stores stay plain, and the reader does with a number that may be old.
#define READS_RACILY __attribute__((no_sanitize("thread")))

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

// `alignment` is a power of two in all of these.
static inline size_t align_up(size_t value, size_t alignment) {
    return (value + alignment - 1) & ~(alignment - 1);
}

static inline size_t align_down(size_t value, size_t alignment) {
    return value & ~(alignment - 1);
}

static inline bool is_aligned(size_t value, size_t alignment) {
    return (value & (alignment - 1)) == 0;
}

static inline bool is_power_of_two(size_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}

static inline size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

// Index of the lowest set bit; pre: word != 0.
static inline unsigned bit_lowest(uint64_t word) {
    return (unsigned)__builtin_ctzll(word);
}

// Index of the highest set bit; pre: word != 0.
static inline unsigned bit_highest(uint64_t word) {
    return 63u - (unsigned)__builtin_clzll(word);
}

// Number of set bits, without the popcnt instruction that baseline x86-64 lacks: gcc's builtin
// would call a table-driven libgcc routine there.
static inline unsigned bit_count(uint64_t word) {
    word -= (word >> 1) & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (unsigned)((word * 0x0101010101010101u) >> 56);
}

// A word whose lowest `n` bits are set; 0 <= n <= 64.
static inline uint64_t bit_low_mask(unsigned n) {
    return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

#endif
