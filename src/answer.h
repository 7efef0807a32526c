// Answers to requests that other processes put into the root (struct request in layout.h). Who can
// write there could do anything to the process, so the request itself needs no proof of who asks;
// that the option `ctl` is on says that the process has somebody who looks (nudge.h).
#ifndef LUCID_ANSWER_H
#define LUCID_ANSWER_H

#include "root.h"

static inline bool answer_is_awaited(void) {
    return atomic_load_explicit(&root.live.request.state, memory_order_acquire) == REQUEST_ASKED;
}

// Does what is asked, if anything is, and answers. Called by the helper.
void answer_all(void);

// Answers that there is no helper. Async-signal-safe.
void answer_no_helper(void);

// In the child of a fork: what was asked of the parent is not the child's business.
void answer_after_fork(void);

#endif
