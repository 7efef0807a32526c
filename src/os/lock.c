// A lock of one word on futex: 0 free, 1 held, 2 held and somebody sleeps.
// Source of the protocol: U. Drepper, "Futexes Are Tricky", mutex number two.
#include "raw.h"

#include "os.h"

#include <time.h>

#define SPINS 60 // about as long as the longest section that a lock protects without a system call

static inline void spin_pause(void) {
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

bool os_try_lock(_Atomic uint32_t *lock) {
    uint32_t expected = 0;
    return atomic_compare_exchange_strong_explicit(lock, &expected, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static NOINLINE void lock_slow(_Atomic uint32_t *lock) {
    for (int i = 0; i < SPINS; i++) {
        spin_pause();
        if (atomic_load_explicit(lock, memory_order_relaxed) == 0 && os_try_lock(lock)) {
            return;
        }
    }
    // With a limit, so that a wake-up that gets lost (a sandbox that forbids it, an injected
    // failure) costs time and not the process.
    const struct timespec limit = {.tv_sec = 0, .tv_nsec = 100000000};
    while (atomic_exchange_explicit(lock, 2, memory_order_acquire) != 0) {
        (void)raw_call4(SYS_futex, (long)lock, RAW_FUTEX_WAIT_PRIVATE, 2, (long)&limit);
    }
}

void os_lock(_Atomic uint32_t *lock) {
    if (unlikely(!os_try_lock(lock))) {
        lock_slow(lock);
    }
}

void os_unlock(_Atomic uint32_t *lock) {
    if (unlikely(atomic_exchange_explicit(lock, 0, memory_order_release) == 2)) {
        (void)raw_call4(SYS_futex, (long)lock, RAW_FUTEX_WAKE_PRIVATE, 1, 0);
    }
}
