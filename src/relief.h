// What happens before a request fails: what the thread has in its bins, and the quarantine of
// hardened mode, become free memory for blocks of any size, then what other threads have in their
// bins. At the memory limit what is free also goes back to the system, and in the end the program's
// own callback may give up what it can do without (lucid_on_limit).
#ifndef LUCID_RELIEF_H
#define LUCID_RELIEF_H

#include "base.h"

// What was tried for one request; all 0 at first.
struct relief {
    unsigned attempts; // to make room
    unsigned waits;    // for memory that somebody was giving back to the system
    uint32_t ended;    // see release_came_back
};

// To be asked when `size` bytes of that alignment could not be had, with no lock held, until it
// says false. Calls the program, which may fork and return in the child.
// True: fork_check, relief_give_back, and try once more.
bool relief_again(struct relief *relief, size_t size, size_t alignment);
void relief_give_back(void);

// The callback, or NULL for none. It returns whether to try again.
void relief_ask(int (*callback)(void *context, size_t size), void *context);

void relief_after_fork(void);

#endif
