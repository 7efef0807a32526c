// Faults: SIGSEGV told to the library first, then to whoever had the signal before.
#include "os.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static struct sigaction before;
static bool (*told)(const struct os_access *access);

static struct os_access access_of(const siginfo_t *info, const ucontext_t *context) {
    struct os_access access = {.address = (uintptr_t)info->si_addr};
#if defined(__x86_64__)
    access.code = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
    access.stack = (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
    access.kind = context->uc_mcontext.gregs[REG_ERR] & 2 ? OS_ACCESS_WRITE : OS_ACCESS_READ;
#elif defined(__aarch64__)
    access.code = context->uc_mcontext.pc;
    access.stack = context->uc_mcontext.sp;
#else
    (void)context;
#endif
    return access;
}

// What would have happened without us.
static void pass_on(int number, siginfo_t *info, void *context) {
    struct sigaction other = before;
    bool sent = info->si_code <= 0; // by kill(2), not by the processor
    if (!(other.sa_flags & SA_SIGINFO) &&
        (other.sa_handler == SIG_DFL || other.sa_handler == SIG_IGN)) {
        if (sent && other.sa_handler == SIG_IGN) {
            return;
        }
        (void)sigaction(number, &other, NULL); // the instruction runs again and ends the process
        if (sent) {
            (void)raise(number);
        }
        return;
    }
    if (other.sa_flags & (int)SA_RESETHAND) {
        struct sigaction none = {.sa_handler = SIG_DFL};
        (void)sigaction(number, &none, NULL);
    }
    if (other.sa_flags & SA_SIGINFO) {
        other.sa_sigaction(number, info, context);
    } else {
        other.sa_handler(number);
    }
}

static void handle(int number, siginfo_t *info, void *context) {
    int saved = errno;
    struct os_access access = access_of(info, context);
    if (info->si_code > 0 && told(&access)) {
        // Told once: from here on everything is as if we had never been there.
        (void)sigaction(number, &before, NULL);
    } else {
        pass_on(number, info, context);
    }
    errno = saved;
}

bool os_on_access_fault(bool (*tell)(const struct os_access *access)) {
    int saved = errno;
    bool done = sigaction(SIGSEGV, NULL, &before) == 0;
    if (done) {
        struct sigaction ours = before;
        told = tell;
        ours.sa_sigaction = handle;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (before.sa_flags & (SA_NODEFER | SA_RESTART));
        done = sigaction(SIGSEGV, &ours, NULL) == 0;
    }
    errno = saved;
    return done;
}

// The kernel reads the new mask before it looks at `how`, which is none: EFAULT or EINVAL.
bool os_is_readable(uintptr_t address) {
    int saved = errno;
    long result = syscall(SYS_rt_sigprocmask, -1, align_down(address, sizeof(uint64_t)), NULL,
                          sizeof(uint64_t));
    bool readable = result == 0 || errno != EFAULT;
    errno = saved;
    return readable;
}
