// Calls by which a program restricts itself, or for which it must have one thread: the helper, of
// which the program knows nothing, leaves first. Called past the C library (syscall()), they find it
// there; then it is harmless where the process has rights (os/confine.c), and gone in a second or two
// where nothing is freed.
#include "export.h"
#include "helper.h"
#include "os/os.h"

#include <errno.h>
#include <stdarg.h>

#if LUCID_OVERRIDE

#define LEAVING_MS 100u // the kernel counts a thread for a moment after it has ended

static int answered(long result) {
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return (int)result;
}

static bool is_there(void) {
    return atomic_load(&root.live.giving.tid) != 0;
}

// One of the calls that the kernel refuses a process with threads.
static int call_alone(enum os_restricting call, long first, long second) {
    if (!is_there()) {
        return answered(os_restrict(call, first, second, 0, 0, 0));
    }
    helper_pause();
    long result = os_restrict(call, first, second, 0, 0, 0);
    _Atomic uint32_t never = 0;
    for (unsigned ms = 0; result == -EINVAL && ms < LEAVING_MS; ms++) {
        os_wait_while(&never, 0, 1);
        result = os_restrict(call, first, second, 0, 0, 0);
    }
    helper_resume();
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

// What comes after these may forbid any call but those that the program makes itself: with one thread
// there is no helper from then on (helper.c).
static int restrict_process(int option, ...) {
    va_list list;
    va_start(list, option);
    long a = va_arg(list, long);
    long b = va_arg(list, long);
    long c = va_arg(list, long);
    long d = va_arg(list, long);
    va_end(list);
    bool restricts = os_prctl_restricts(option);
    bool pauses = restricts && is_there();
    if (pauses) {
        helper_pause();
    }
    long result = os_restrict(OS_PRCTL, option, a, b, c, d);
    if (restricts && result == 0) {
        __atomic_store_n(&root.live.giving.restricted, 1, __ATOMIC_RELAXED);
    }
    if (pauses) {
        helper_resume();
    }
    return answered(result);
}
STANDARD_NAME(int, prctl, (int, ...), restrict_process)

#endif
