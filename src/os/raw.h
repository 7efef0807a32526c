// System calls that touch nothing but registers: no errno, no thread-local storage, no function
// that could be interposed. For the helper thread (os_helper_start), which has none of these, and
// for calls that it shares with others. Only for the files in this folder.
#ifndef LUCID_OS_RAW_H
#define LUCID_OS_RAW_H

#include "../base.h"

#include <sys/syscall.h>
#if !defined(__x86_64__) && !defined(__aarch64__)
#include <errno.h>
#include <unistd.h>
#endif

// The kernel's numbers, for C libraries that come without the kernel's headers.
enum raw_futex {
    RAW_FUTEX_WAIT = 0,
    RAW_FUTEX_WAKE = 1,
    RAW_FUTEX_WAIT_PRIVATE = 128,
    RAW_FUTEX_WAKE_PRIVATE = 129,
};

// The result as the kernel gives it: an error is a number from -4095 to -1.
static inline long raw_call(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
#else
    int saved = errno;
    long result = syscall(number, a, b, c, d, e, f);
    result = result == -1 ? -errno : result;
    errno = saved;
    return result;
#endif
}

static inline long raw_call4(long number, long a, long b, long c, long d) {
    return raw_call(number, a, b, c, d, 0, 0);
}

#endif
