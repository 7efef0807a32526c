// How another process gets this one to look at its request (answer.h) without stopping it and
// without a thread that waits: by a signal. Its handler only starts the helper, or wakes it.
#ifndef LUCID_NUDGE_H
#define LUCID_NUDGE_H

#include "base.h"

// From now on nudges are heeded. May call back into malloc.
void nudge_begin(void);

#endif
