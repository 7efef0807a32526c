// Has a function called after each instruction that this thread runs: for state that somebody may
// look at, or a fork copy, at any moment.
#ifndef SINGLESTEP_H
#define SINGLESTEP_H

#include "testing.h"

#include <signal.h>
#include <ucontext.h>

static void (*volatile singlestep_look)(void);

static void singlestep_on_trap(int number, siginfo_t *info, void *context) {
    (void)number, (void)info, (void)context;
#if defined(__x86_64__)
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    const greg_t trap = 0x100;
    if (singlestep_look != NULL) {
        *flags |= trap;
        singlestep_look();
    } else {
        *flags &= ~trap;
    }
#endif
}

// From here on, until singlestep_end, `look` is called: once at the beginning, and after each
// instruction where the processor's steps are known. `look` may end it too.
static inline void singlestep_begin(void (*look)(void)) {
    const struct sigaction action = {.sa_sigaction = singlestep_on_trap, .sa_flags = SA_SIGINFO};
    REQUIRE(sigaction(SIGTRAP, &action, NULL) == 0, "a handler");
    singlestep_look = look;
    (void)raise(SIGTRAP);
}

static inline void singlestep_end(void) {
    singlestep_look = NULL;
}

#endif
