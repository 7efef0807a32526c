// Noticing a fork: the half of fork.h that needs nothing but the root.
#ifndef LUCID_FORKWATCH_H
#define LUCID_FORKWATCH_H

#include "base.h"

// From now on forks are noticed: the process has, or is about to have, a second thread. May call
// back into malloc.
void fork_watch(void);

#endif
