// The process: its environment, identity, clocks, threads and forks.
#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

extern const char *__progname __attribute__((weak));
extern void *__libc_stack_end __attribute__((weak)); // where the program was given its arguments

// glibc sets environ when it initializes itself, after the functions of a program's .preinit_array.
// What the kernel passed lies on the stack: the number of arguments, they, NULL, the environment.
COLD static char **environment_at_start(void) {
    if (&__libc_stack_end == NULL || __libc_stack_end == NULL) {
        return NULL;
    }
    const long *count = __libc_stack_end;
    return (char **)__libc_stack_end + 1 + *count + 1;
}

// Not getenv: it may be interposed, and this runs inside the very first malloc.
const char *os_environment(const char *name) {
    size_t length = 0;
    while (name[length] != '\0') { // strlen would bring in a page of the C library at start
        length++;
    }
    char **entry = environ != NULL ? environ : environment_at_start();
    for (; entry != NULL && *entry != NULL; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
            return *entry + length + 1;
        }
    }
    return NULL;
}

bool os_is_secure(void) {
    return getauxval(AT_SECURE) != 0;
}

// glibc's name is empty until it has initialized itself, which in a static program is after the
// first malloc; the kernel says what it executed.
COLD const char *os_program_name(void) {
    if (&__progname != NULL && __progname != NULL && __progname[0] != '\0') {
        return __progname;
    }
    const char *path = (const char *)getauxval(AT_EXECFN);
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return slash != NULL ? slash + 1 : path != NULL ? path : "?";
}

uint32_t os_process_id(void) {
    return (uint32_t)syscall(SYS_getpid);
}

uint32_t os_thread_id(void) {
    return (uint32_t)syscall(SYS_gettid);
}

// The clock of a thread's processor time has the thread's number in its own, upside down.
uint32_t os_thread_id_noted(void) {
    clockid_t clock = 0;
    return pthread_getcpuclockid(pthread_self(), &clock) == 0 ? ~(uint32_t)(clock >> 3) : 0;
}

bool os_is_guest(void) {
    return os_thread_id() != os_thread_id_noted();
}

bool os_thread_alive(uint32_t tid) {
    int saved = errno;
    long result = syscall(SYS_tgkill, syscall(SYS_getpid), tid, 0);
    bool gone = result == -1 && errno == ESRCH;
    errno = saved;
    return !gone;
}

uint64_t os_thread_self(void) {
    return (uint64_t)(uintptr_t)pthread_self();
}

// The kernel's 16 random bytes at exec. Both words go into one, so that knowing the result does
// not give away the words themselves: the C library's canary is made of them.
uint64_t os_random(unsigned which) {
    uint64_t words[2] = {0, 0};
    const void *bytes = (const void *)getauxval(AT_RANDOM);
    if (bytes != NULL) {
        memcpy(words, bytes, sizeof(words));
    }
    uint64_t other = words[1 - which];
    uint64_t x = words[which] * 0x9e3779b97f4a7c15u + (other << 31 | other >> 33);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t os_now_ms(void) {
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now); // cannot fail: it leaves errno alone
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// One key for the process, made when the second thread asks. 0: not made, 1: being made,
// 2: made, 3: the system has no key left.
static _Atomic int key_state;
static pthread_key_t key;

bool os_thread_exit_ready(void (*exit_hook)(void *)) {
    int expected = 0;
    if (atomic_compare_exchange_strong(&key_state, &expected, 1)) {
        atomic_store(&key_state, pthread_key_create(&key, exit_hook) == 0 ? 2 : 3);
    }
    // Another thread is between the two lines above: a handful of instructions.
    while (atomic_load(&key_state) == 1) {
    }
    return atomic_load(&key_state) == 2;
}

bool os_on_thread_exit(void (*exit_hook)(void *), void *argument) {
    int saved = errno;
    bool done = !os_fault(OS_THREAD_EXIT) && os_thread_exit_ready(exit_hook) &&
                pthread_setspecific(key, argument) == 0;
    errno = saved;
    return done;
}

bool os_on_fork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
    int saved = errno; // it takes memory when there are many handlers
    bool done = pthread_atfork(before, parent, child) == 0;
    errno = saved;
    return done;
}

int os_write(int fd, const char *text, size_t length) {
    int saved = errno;
    int error = 0;
    while (length > 0) {
        long written = syscall(SYS_write, fd, text, length);
        if (written < 0 && errno != EINTR) {
            error = errno;
            break;
        }
        if (written > 0) {
            text += written;
            length -= (size_t)written;
        }
    }
    errno = saved;
    return error;
}

_Noreturn void os_abort(void) {
    if (os_thread_id_noted() == 0) { // the helper, on whose stack no handler can run
        (void)signal(SIGABRT, SIG_DFL);
    }
    // A handler for SIGABRT may run; it must not keep the process alive.
    sigset_t only_abort;
    sigemptyset(&only_abort);
    sigaddset(&only_abort, SIGABRT);
    (void)pthread_sigmask(SIG_UNBLOCK, &only_abort, NULL);
    (void)raise(SIGABRT);
    (void)signal(SIGABRT, SIG_DFL);
    (void)raise(SIGABRT);
    for (;;) {
        (void)syscall(SYS_exit_group, 127);
    }
}
