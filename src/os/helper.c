// A thread without the C library: it shares the process's memory and nothing else matters to it.
// It is made with the flags of pthread_create, because those are what sandboxes let pass.
#include "raw.h"

#include "os.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

// The sanitizers instrument every access with code that needs their own thread-local storage.
#if defined(__x86_64__) && !defined(SANITIZED)
#define HAVE_HELPER 1
#else
#define HAVE_HELPER 0
#endif

#define KERNEL_SIGSET_BYTES 8
#define THREAD_AREA ((size_t)2048) // zeros on either side of the thread pointer
#define FLAGS                                                                           \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD | \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

#if HAVE_HELPER

// Returns what clone returns in the caller. The new thread calls run() and ends.
static long clone_call(uintptr_t stack_top, void (*run)(void), _Atomic uint32_t *tid,
                       uintptr_t thread_pointer) {
    void (**slot)(void) = (void (**)(void))(stack_top - 16);
    *slot = run;
    long result;
    register long r10 __asm__("r10") = (long)(uintptr_t)tid;
    register long r8 __asm__("r8") = (long)thread_pointer;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t" // the last frame, for those who walk the stack
                     "popq %%rax\n\t"
                     "addq $8, %%rsp\n\t"
                     "callq *%%rax\n\t"
                     "movl %[exit], %%eax\n\t"
                     "xorl %%edi, %%edi\n\t"
                     "syscall\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(result)
                     : "0"((long)SYS_clone), "D"((long)FLAGS), "S"(slot), "d"(tid), "r"(r10),
                       "r"(r8), [exit] "i"(SYS_exit)
                     : "rcx", "r11", "memory");
    return result;
}

// Code with stack protectors reads a canary, and a lazily bound call writes a flag, relative to
// the thread pointer: they find zeros. The first and third word are the pointer itself.
static uintptr_t make_thread_area(uintptr_t area) {
    uintptr_t *pointer = (uintptr_t *)(area + THREAD_AREA);
    pointer[0] = (uintptr_t)pointer;
    pointer[2] = (uintptr_t)pointer;
    return (uintptr_t)pointer;
}

bool os_helper_start(void *memory, size_t length, void (*run)(void), _Atomic uint32_t *tid,
                     const _Atomic uint32_t *valid) {
    if (os_fault(OS_HELPER)) {
        return false;
    }
    uintptr_t area = (uintptr_t)memory + length - 2 * THREAD_AREA;
    uintptr_t pointer = make_thread_area(area);
    uint64_t all = ~(uint64_t)0; // the helper inherits this: no handler may ever run on it
    uint64_t before = 0;
    if (raw_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before,
                  KERNEL_SIGSET_BYTES) != 0) {
        return false;
    }
    long result = atomic_load(valid) != 0 ? clone_call(area, run, tid, pointer) : 0;
    (void)raw_call4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, KERNEL_SIGSET_BYTES);
    return result > 0;
}

#else

bool os_helper_start(void *memory, size_t length, void (*run)(void), _Atomic uint32_t *tid,
                     const _Atomic uint32_t *valid) {
    (void)memory, (void)length, (void)run, (void)tid, (void)valid;
    return false;
}

#endif

// A filter on system calls may end the process for a clone. Where the program has threads already,
// it lets them pass; in a program with one thread nobody can tell a container's filter, which
// does too, from a sandbox of the program's own.
bool os_helper_allowed(void) {
    return HAVE_HELPER &&
           (!os_single_threaded() || raw_call4(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0) == 0);
}

void os_wait_while(_Atomic uint32_t *word, uint32_t value, uint32_t milliseconds) {
    struct timespec time = {.tv_sec = milliseconds / 1000,
                            .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    (void)raw_call4(SYS_futex, (long)word, RAW_FUTEX_WAIT, (long)value, (long)&time);
}

void os_wake(_Atomic uint32_t *word) {
    (void)raw_call4(SYS_futex, (long)word, RAW_FUTEX_WAKE, INT32_MAX, 0);
}
