// Calls by which a program restricts itself, or for which it must have one thread: the helper, of
// which the program knows nothing, leaves first. Called past the C library (syscall()), they find
// it there; then it is harmless where the process has rights (os/confine.c), and gone in a second
// or two where nothing is freed.
#include "export.h"
#include "fork.h"
#include "helper.h"
#include "os/os.h"

#include <errno.h>
#include <stdarg.h>

#if LUCID_OVERRIDE

#define LEAVING_MS 20u

static int answered(long result) {
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return (int)result;
}

static struct giving *giving(void) {
    return &root.live.giving;
}

// Is the helper one of this process? The child of a vfork has its parent's memory and no helper;
// what it does to itself is its own affair. Where there is none, it cannot be told from its parent.
static bool is_own(void) {
    if (root.live.fork_page != NULL) {
        fork_check(); // the child of a fork has none either
    }
    uint32_t tid = 0;
    do {
        tid = atomic_load(&giving()->tid);
        if (tid == 0 || tid == HELPER_TID_UNKNOWN || os_thread_alive(tid)) {
            return true;
        }
    } while (atomic_load(&giving()->tid) != tid); // it has just left
    return false;
}

// Returns whether there was one. Once the program has restricted itself it may be ended for asking
// who it is.
static bool send_away(void) {
    bool there = !helper_is_restricted() && is_own() && atomic_load(&giving()->tid) != 0;
    if (there) {
        helper_pause();
    }
    return there;
}

// One of the calls that the kernel refuses a process with threads. It counts a thread for a moment
// after that has ended, also after it has left by itself.
static int call_alone(enum os_restricting call, long first, long second) {
    bool paused = send_away();
    long result = os_restrict(call, first, second, 0, 0, 0);
    _Atomic uint32_t never = 0;
    bool had_helper = __atomic_load_n(&giving()->starts, __ATOMIC_RELAXED) != 0;
    for (unsigned ms = 0; result == -EINVAL && had_helper && ms < LEAVING_MS; ms++) {
        os_wait_while(&never, 0, 1);
        result = os_restrict(call, first, second, 0, 0, 0);
    }
    if (result == 0) {
        __atomic_store_n(&giving()->moved, 1, __ATOMIC_RELAXED);
    }
    if (paused) {
        helper_resume();
    }
    return answered(result);
}

static int unshare_alone(int flags) {
    return call_alone(OS_UNSHARE, flags, 0);
}
STANDARD_NAME(int, unshare, (int), unshare_alone)

static int setns_alone(int fd, int kind) {
    return call_alone(OS_SETNS, fd, kind);
}
STANDARD_NAME(int, setns, (int, int), setns_alone)

// What comes after these may forbid any call but those that the program makes itself, also those
// by which it could be asked whether it has rights.
static long restrict_for_good(int option, const long *words) {
    bool paused = send_away();
    bool rights = os_has_rights();
    bool own = is_own();
    long result = os_restrict(OS_PRCTL, option, words[0], words[1], words[2], words[3]);
    if (result == 0 && own) {
        __atomic_store_n(&giving()->restricted, rights ? RESTRICTED : RESTRICTED_NO_RIGHTS,
                         __ATOMIC_RELAXED);
    }
    if (paused) {
        helper_resume();
    }
    return result;
}

static int restrict_process(int option, ...) {
    long words[4];
    va_list list;
    va_start(list, option);
    for (unsigned i = 0; i < 4; i++) {
        words[i] = va_arg(list, long);
    }
    va_end(list);
    return answered(os_prctl_restricts(option) && !helper_is_restricted()
                        ? restrict_for_good(option, words)
                        : os_restrict(OS_PRCTL, option, words[0], words[1], words[2], words[3]));
}
STANDARD_NAME(int, prctl, (int, ...), restrict_process)

#endif
