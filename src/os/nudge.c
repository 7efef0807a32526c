// A signal that is ours when its sender says so, and the program's otherwise.
//
// SIGURG, because its default is to be ignored: a process whose handler is gone, after an exec,
// survives it. Programs that use it for themselves are rare, and must bear extra ones anyway.
#include "os.h"

#include <errno.h>
#include <signal.h>

static struct sigaction before;
static void (*told)(void);
static const void *expected;

static void handle(int number, siginfo_t *info, void *context) {
    int saved = errno;
    told(); // whoever sent it: two pending signals become one, and ours may be the one that is lost
    bool ours = info->si_code == SI_QUEUE && info->si_value.sival_ptr == expected;
    if (ours || (!(before.sa_flags & SA_SIGINFO) &&
                 (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN))) {
        errno = saved;
        return;
    }
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else {
        before.sa_handler(number);
    }
    errno = saved;
}

uint32_t os_on_nudge(void (*nudged)(void), const void *mark) {
    int saved = errno;
    bool done = sigaction(SIGURG, NULL, &before) == 0;
    if (done) {
        struct sigaction ours = {.sa_sigaction = handle,
                                 .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
        (void)sigfillset(&ours.sa_mask);
        told = nudged;
        expected = mark;
        done = sigaction(SIGURG, &ours, NULL) == 0;
    }
    errno = saved;
    return done ? SIGURG : 0;
}
