// The helper: a short-lived thread that gives free memory back when the program itself does not
// come by any more. There is none while little is free, and none for long after the last free:
// it starts when more than helper_start_units are dirty, looks around a few times a second, and
// ends when what is worth giving back has been given back.
//
// It shares nothing with the program but memory: it has no thread-local storage, calls nothing
// but the lists' and the pool's own functions, and takes no lock for longer than they do.
#ifndef LUCID_HELPER_H
#define LUCID_HELPER_H

#include "os/os.h"
#include "root.h"

// Dirty units that may stay: a share of what is in use, so that a program that lives on finds a
// little at hand.
#define KEEP_SHARE 16u
static inline uint64_t helper_keep_units(void) {
    return root_used_units() / KEEP_SHARE;
}

// So many more make a helper worth its start.
static inline uint64_t helper_start_units(void) {
    return HELPER_START_BYTES >> UNIT_SHIFT;
}

// Has the program forbidden itself something for good? Then it may be ended for any system call
// that it does not make itself.
static inline bool helper_is_restricted(void) {
    return __atomic_load_n(&root.live.giving.restricted, __ATOMIC_RELAXED) != RESTRICTED_NOT;
}

// Does the process run in its parent's memory, as the child of vfork does? False also where asking
// might end it.
static inline bool helper_is_guest(void) {
    return !helper_is_restricted() && os_is_guest();
}

// Makes sure that there is a helper. False: there cannot be one; the caller has to do without.
// No lock may be held. May call back into malloc.
bool helper_call(void);

// From now on helper_call_now may be used. May call back into malloc.
void helper_prepare(void);

// As helper_call, for a signal handler, whatever it interrupts: takes no lock, or only tries to,
// and a helper that sleeps wakes up. True may also mean that the thread it interrupted, or another
// one, is about to do the same: ask again a little later.
bool helper_call_now(void);

// Until helper_resume there is no helper, and none is started: for who looks at a heap at rest.
// Returns when the one there was has left.
void helper_pause(void);
void helper_resume(void);

// In the child of a fork: the helper stayed behind.
void helper_after_fork(void);

#endif
